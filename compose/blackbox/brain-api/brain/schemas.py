"""The documents of requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]
# PostgreSQL's type text cannot hold NUL.
Path = Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00]+$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Content = Annotated[str, StringConstraints(max_length=1_000_000, pattern=r"^[^\x00]*$")]
Question = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=r"^[^\x00]+$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LinkTo(Strict):
    """A link to another artifact, by its id, or by a path that may come later."""

    kind: Kind = "mentions"
    id: UUID | None = None
    path: Path | None = None

    @model_validator(mode="after")
    def _one_target(self) -> LinkTo:
        if (self.id is None) == (self.path is None):
            raise ValueError("a link names its target by id or by path")
        return self


class ArtifactIn(Strict):
    """`chunks`: the pieces, where the writer cut the content itself. `links` left out: those that are there stay."""

    path: Path | None = None
    kind: Kind = "document"
    title: Title
    content: Content
    chunks: list[Annotated[Content, Field(max_length=20_000)]] | None = Field(None, max_length=2000)
    tags: list[Tag] = Field(default_factory=list, max_length=50)
    metadata: dict[str, Any] = Field(default_factory=dict)
    links: list[LinkTo] | None = Field(None, max_length=500)


class ArtifactChange(Strict):
    """What is left out stays as it is. A path that is null is taken away."""

    path: Path | None = None
    kind: Kind | None = None
    title: Title | None = None
    content: Content | None = None
    chunks: list[Annotated[Content, Field(max_length=20_000)]] | None = Field(None, max_length=2000)
    tags: list[Tag] | None = Field(None, max_length=50)
    metadata: dict[str, Any] | None = None
    links: list[LinkTo] | None = Field(None, max_length=500)

    @field_validator("kind", "title", "content", "tags", "metadata", mode="before")
    @classmethod
    def _no_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("leave it out to leave it as it is")
        return value


class ArtifactHead(BaseModel):
    """An artifact without its content. `digest` is the same as long as nothing that its writer gave has changed."""

    id: UUID
    path: str | None
    kind: str
    title: str
    tags: list[str]
    metadata: dict[str, Any]
    digest: str
    created_at: datetime
    updated_at: datetime


class Artifact(ArtifactHead):
    content: str


class Page(BaseModel):
    """`next`: the cursor of the next page, null on the last one."""

    artifacts: list[ArtifactHead]
    next: str | None


class Batch(Strict):
    artifacts: list[ArtifactIn] = Field(min_length=1, max_length=100)


class Written(BaseModel):
    id: UUID
    path: str | None
    result: Literal["created", "updated", "unchanged"]


class BatchResult(BaseModel):
    """In the order of the batch."""

    artifacts: list[Written]


class Deleted(BaseModel):
    deleted: int


class Filters(Strict):
    kind: Kind | None = None
    tags: list[Tag] = Field(default_factory=list, description="all of them", max_length=20)
    path_prefix: Path | None = None
    limit: int = Field(10, ge=1, le=100)
    offset: int = Field(0, ge=0, le=400)


class Search(Filters):
    query: Question


class Hit(BaseModel):
    """`text`: the piece of the artifact that fits best."""

    id: UUID
    path: str | None
    kind: str
    title: str
    tags: list[str]
    score: float
    text: str


class Hits(BaseModel):
    """`complete` is false while pieces are still without an embedding of the current model."""

    hits: list[Hit]
    complete: bool = True


class Node(BaseModel):
    id: UUID
    path: str | None = None
    title: str | None = None
    kind: str | None = None
    distance: int | None = None
    score: float | None = None


class Edge(BaseModel):
    source: UUID
    target: UUID
    kind: str


class Graph(BaseModel):
    nodes: list[Node]
    edges: list[Edge]


class Around(Strict):
    """The nearest artifacts by meaning, and what is linked with them up to `depth` steps away."""

    query: Question
    limit: int = Field(5, ge=1, le=50)
    depth: int = Field(1, ge=0, le=3)


class Ask(Strict):
    question: Question


class Answer(BaseModel):
    """`sources`: what the model was shown."""

    answer: str
    sources: list[Hit]
    model: str
    input_tokens: int
    output_tokens: int


class Counts(BaseModel):
    artifacts: int
    chunks: int
    links: int
    embedding_model: str
    dimensions: int
    embeddings_pending: int
    graph_pending: int
