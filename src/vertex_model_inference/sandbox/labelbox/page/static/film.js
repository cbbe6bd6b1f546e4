// Videos frame by frame: the scrubber, what is drawn on each frame, and the answers that hold in it.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

// Where a track is in a frame: straight lines between the key frames of a segment. As in film.py.
function placeAt(track, frame) {
  if (!track.segments.some(([first, last]) => first <= frame && frame <= last)) return null;
  let before = null, after = null;
  for (const key of track.keys) {
    if (key[0] <= frame) before = key;
    else { after = key; break; }
  }
  if (!before) return null;
  if (!after || before[0] === frame || before[1].length !== after[1].length) return before[1];
  const share = (frame - before[0]) / (after[0] - before[0]);
  return before[1].map((value, i) => value + (after[1][i] - value) * share);
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const titled = (track) => track.confidence === null ? track.name : `${track.name} ${track.confidence.toFixed(2)}`;

function shapesAt(film, frame, width, height) {
  const made = [];
  film.tracks.forEach((track, n) => {
    const place = placeAt(track, frame), mask = track.masks[frame];
    let shape = null;
    if (mask) {
      const hole = element("mask", { id: `film-${n}` });
      hole.append(element("image", { href: mask, width, height }));
      made.push(hole);
      shape = element("rect", { class: `${track.source} filled`, width, height, mask: `url(#film-${n})` });
    } else if (place && track.form === "rect") {
      shape = element("rect", { class: track.source, x: place[0], y: place[1], width: place[2], height: place[3] });
    } else if (place && track.form === "point") {
      shape = element("path", { class: `${track.source} point`, d: `M${place[0]} ${place[1]}h0` });
    } else if (place) {
      const pairs = place.flatMap((x, i) => (i % 2 ? [] : [`${x},${place[i + 1]}`]));
      shape = element("polyline", { class: track.source, points: pairs.join(" ") });
    }
    if (!shape) return;
    const title = element("title", {});
    title.textContent = titled(track);
    shape.append(title);
    made.push(shape);
    if (place) {
      // Names of labels stand over a box, those of predictions under it, so that both can be read.
      const below = track.form === "rect" && track.source === "prediction" ? place[3] : 0;
      const tag = element("text", { class: `tag ${track.source}`, x: place[0], y: place[1] + below });
      tag.textContent = titled(track);
      made.push(tag);
    }
  });
  return made;
}

function answersAt(film, frame) {
  return film.held.filter((one) => one.ranges.some(([a, b]) => a <= frame && frame <= b)).map((one) => {
    const chip = document.createElement("li");
    chip.className = `chip ${one.source}`;
    const parts = [["q", one.question], ["a", one.answer]];
    if (one.confidence !== null) parts.push(["c", one.confidence.toFixed(2)]);
    for (const [kind, text] of parts) {
      const span = document.createElement("span");
      span.className = kind;
      span.textContent = text;
      chip.append(span);
    }
    return chip;
  });
}

async function roll(box) {
  const answer = await fetch(box.dataset.film);
  if (!answer.ok) return;
  const film = await answer.json();
  const range = box.querySelector("input[type=range]"), play = box.querySelector("[data-play]");
  const shown = box.querySelector("output"), image = box.querySelector("img"), over = box.querySelector("svg.over");
  const now = box.querySelector(".now"), corner = box.querySelector(".corner");
  const [, , width, height] = (over.getAttribute("viewBox") || `0 0 ${image.naturalWidth} ${image.naturalHeight}`).split(" ").map(Number);
  const address = (frame) => `${box.dataset.frames}/${frame}.jpg`;
  const loaded = new Map();  // the pictures asked for last
  const load = (frame) => {
    if (!loaded.has(frame)) {
      const picture = new Image();
      picture.src = address(frame);
      loaded.set(frame, picture.decode().then(() => true, () => false));
      if (loaded.size > 200) loaded.delete(loaded.keys().next().value);
    }
    return loaded.get(frame);
  };
  let frame = Number(box.dataset.front), playing = false;

  const show = async (wanted) => {
    frame = Math.max(1, Math.min(film.frames, wanted));
    range.value = frame;
    const mine = frame;
    await load(mine);
    if (mine !== frame) return;  // the scrubber has gone on
    image.src = address(mine);
    over.replaceChildren(...shapesAt(film, mine, width, height));
    now.replaceChildren(...answersAt(film, mine));
    shown.textContent = `${mine} / ${film.frames.toLocaleString("en")}`;
    if (corner) corner.textContent = `frame ${mine} of ${film.frames.toLocaleString("en")}`;
    box.dataset.shown = mine;
    for (let next = mine + 1; next <= Math.min(film.frames, mine + 6); next++) load(next);
  };

  const run = async () => {
    while (playing && frame < film.frames && box.isConnected) {
      const started = performance.now();
      await show(frame + 1);
      await new Promise((done) => setTimeout(done, Math.max(0, 1000 / film.rate - (performance.now() - started))));
    }
    playing = false;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  };

  range.addEventListener("input", () => { playing = false; show(Number(range.value)); });
  range.addEventListener("keydown", (event) => event.stopPropagation());  // arrows move the frame here, not the row
  play.addEventListener("click", () => {
    if (playing) { playing = false; return; }
    if (frame >= film.frames) frame = 0;
    playing = true;
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
    run();
  });
  show(frame);
}
