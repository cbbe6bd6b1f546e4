CREATE TABLE IF NOT EXISTS settings(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, content_type TEXT NOT NULL, size INTEGER NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS datasets(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS data_rows(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, dataset_id TEXT NOT NULL, global_key TEXT, external_id TEXT,
  row_data TEXT NOT NULL, is_object INTEGER NOT NULL DEFAULT 0, media_type TEXT NOT NULL, media_attributes TEXT,
  text_length INTEGER, processed INTEGER NOT NULL DEFAULT 0, metadata TEXT, attachments TEXT, embeddings TEXT,
  created_at REAL NOT NULL, updated_at REAL NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS data_rows_global_key ON data_rows(global_key) WHERE global_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS data_rows_dataset ON data_rows(dataset_id, seq);
CREATE INDEX IF NOT EXISTS data_rows_external ON data_rows(external_id) WHERE external_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS data_rows_unprocessed ON data_rows(seq) WHERE processed = 0;
-- What annotations can name in an asset: pages and tokens of documents, messages of conversations.
CREATE TABLE IF NOT EXISTS layouts(data_row_id TEXT PRIMARY KEY, layout TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ontologies(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, media_type TEXT, normalized TEXT NOT NULL,
  created_at REAL NOT NULL, updated_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS feature_schemas(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, normalized TEXT NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS projects(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT, media_type TEXT, ontology_id TEXT, fields TEXT NOT NULL,
  created_at REAL NOT NULL, updated_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS batches(
  id TEXT PRIMARY KEY, project_id TEXT NOT NULL, name TEXT NOT NULL, consensus TEXT,
  created_at REAL NOT NULL, updated_at REAL NOT NULL, UNIQUE(project_id, name));
CREATE TABLE IF NOT EXISTS batch_rows(
  project_id TEXT NOT NULL, data_row_id TEXT NOT NULL, batch_id TEXT NOT NULL, priority INTEGER NOT NULL,
  PRIMARY KEY(project_id, data_row_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batch_rows_batch ON batch_rows(batch_id);
CREATE TABLE IF NOT EXISTS labels(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, project_id TEXT NOT NULL, data_row_id TEXT NOT NULL,
  import_id TEXT NOT NULL, kind TEXT NOT NULL DEFAULT 'Default', annotations TEXT NOT NULL, created_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS labels_project ON labels(project_id, data_row_id);
CREATE INDEX IF NOT EXISTS labels_data_row ON labels(data_row_id);
CREATE UNIQUE INDEX IF NOT EXISTS labels_import ON labels(import_id, data_row_id);
CREATE TABLE IF NOT EXISTS models(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, ontology_id TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS model_runs(
  id TEXT PRIMARY KEY, model_id TEXT NOT NULL, name TEXT NOT NULL, config TEXT, status TEXT, error_message TEXT,
  metadata TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS model_runs_model ON model_runs(model_id);
CREATE TABLE IF NOT EXISTS run_rows(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, data_row_id TEXT NOT NULL,
  split TEXT NOT NULL DEFAULT 'UNASSIGNED', prediction_id TEXT NOT NULL, UNIQUE(run_id, data_row_id));
CREATE INDEX IF NOT EXISTS run_rows_run ON run_rows(run_id, seq);
CREATE INDEX IF NOT EXISTS run_rows_data_row ON run_rows(data_row_id);
CREATE TABLE IF NOT EXISTS run_labels(
  run_id TEXT NOT NULL, data_row_id TEXT NOT NULL, label_id TEXT NOT NULL,
  PRIMARY KEY(run_id, data_row_id, label_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS run_labels_label ON run_labels(label_id);
CREATE TABLE IF NOT EXISTS imports(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, parent_id TEXT NOT NULL, name TEXT NOT NULL,
  state TEXT NOT NULL, input_url TEXT NOT NULL, input_file TEXT, source TEXT, progress TEXT, error TEXT,
  succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, status_file TEXT, error_file TEXT,
  created_at REAL NOT NULL, updated_at REAL NOT NULL, UNIQUE(kind, parent_id, name));
CREATE INDEX IF NOT EXISTS imports_running ON imports(state) WHERE state = 'RUNNING';
-- What an import into a model run ('mea') or a project ('mal') brought; owner is the run or the project.
CREATE TABLE IF NOT EXISTS annotations(
  seq INTEGER PRIMARY KEY, owner_id TEXT NOT NULL, data_row_id TEXT NOT NULL, uuid TEXT NOT NULL,
  import_id TEXT NOT NULL, place TEXT NOT NULL, feature_id TEXT NOT NULL, annotation TEXT NOT NULL,
  UNIQUE(owner_id, uuid));
CREATE INDEX IF NOT EXISTS annotations_owner ON annotations(owner_id, data_row_id);
CREATE INDEX IF NOT EXISTS annotations_import ON annotations(import_id);
CREATE TABLE IF NOT EXISTS masks(feature_id TEXT PRIMARY KEY, import_id TEXT NOT NULL, mask TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS masks_import ON masks(import_id);
CREATE TABLE IF NOT EXISTS tasks(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
  payload TEXT NOT NULL, result TEXT, error TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS tasks_running ON tasks(status) WHERE status = 'IN_PROGRESS';
CREATE TABLE IF NOT EXISTS task_rows(
  task_id TEXT NOT NULL, n INTEGER NOT NULL, data_row_id TEXT, failure TEXT, PRIMARY KEY(task_id, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks(
  task_id TEXT NOT NULL, first_byte INTEGER NOT NULL, last_byte INTEGER NOT NULL, first_line INTEGER NOT NULL,
  last_line INTEGER NOT NULL, file_id TEXT NOT NULL, PRIMARY KEY(task_id, first_byte)) WITHOUT ROWID;
