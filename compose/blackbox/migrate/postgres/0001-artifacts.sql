-- What is known: artifacts (documents, files, notes), their pieces, and how they point at each other.
-- Rules for every file here: it can run again, it only adds, and once it has run anywhere it is never edited.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE IF NOT EXISTS artifacts (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    path       text UNIQUE,           -- the name by which a writer finds it again (a file's path); may be missing
    kind       text NOT NULL,
    title      text NOT NULL,
    content    text NOT NULL,
    tags       text[] NOT NULL DEFAULT '{}',
    metadata   jsonb NOT NULL DEFAULT '{}',
    digest     text NOT NULL,         -- sha256 of all that a writer gave: the same again is no change
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS artifacts_by_age ON artifacts (created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS artifacts_by_kind ON artifacts (kind);
CREATE INDEX IF NOT EXISTS artifacts_by_tag ON artifacts USING gin (tags);
CREATE INDEX IF NOT EXISTS artifacts_by_path_prefix ON artifacts (path text_pattern_ops);

CREATE TABLE IF NOT EXISTS chunks (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    artifact_id uuid NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    position    integer NOT NULL,
    heading     text NOT NULL,
    body        text NOT NULL,
    digest      text NOT NULL,        -- sha256 of heading and body: a piece that stays keeps its embedding
    words       tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', heading), 'A') || setweight(to_tsvector('english', body), 'B')) STORED
);
CREATE INDEX IF NOT EXISTS chunks_of_artifact ON chunks (artifact_id, position);
CREATE INDEX IF NOT EXISTS chunks_by_words ON chunks USING gin (words);

-- A link names its target by id, or by a path that may come later: then target_id is filled in.
CREATE TABLE IF NOT EXISTS links (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id   uuid NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    kind        text NOT NULL,
    target_id   uuid REFERENCES artifacts ON DELETE SET NULL,
    target_path text,
    UNIQUE NULLS NOT DISTINCT (source_id, kind, target_id, target_path)
);
CREATE INDEX IF NOT EXISTS links_to ON links (target_id);
CREATE INDEX IF NOT EXISTS links_awaiting ON links (target_path) WHERE target_id IS NULL;

-- Artifacts whose node in Neo4j is not yet as it should be. A later change gets a higher version.
CREATE SEQUENCE IF NOT EXISTS graph_versions;
CREATE TABLE IF NOT EXISTS graph_pending (
    artifact_id uuid PRIMARY KEY,
    version     bigint NOT NULL DEFAULT nextval('graph_versions'),
    since       timestamptz NOT NULL DEFAULT now()
);

-- Each model that ever made embeddings; those of model 7 are in the table embeddings_7, made when it is registered.
CREATE TABLE IF NOT EXISTS embedding_models (
    id            smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    dimensions    integer NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, dimensions)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON artifacts, chunks, links, graph_pending TO brain;
GRANT SELECT ON embedding_models TO brain;
GRANT USAGE ON SEQUENCE graph_versions TO brain;
