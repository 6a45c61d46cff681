// Nodes mirror PostgreSQL's artifacts. Every statement can run again and only adds.
CREATE CONSTRAINT artifact_id IF NOT EXISTS FOR (a:Artifact) REQUIRE a.id IS UNIQUE;
CREATE INDEX artifact_path IF NOT EXISTS FOR (a:Artifact) ON (a.path);
CREATE INDEX artifact_kind IF NOT EXISTS FOR (a:Artifact) ON (a.kind);
CREATE INDEX link_kind IF NOT EXISTS FOR ()-[l:LINKS]-() ON (l.kind);
CREATE FULLTEXT INDEX artifact_words IF NOT EXISTS FOR (a:Artifact) ON EACH [a.title, a.path];
