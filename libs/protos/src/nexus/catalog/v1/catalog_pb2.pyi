from nexus.types.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListModelsRequest(_message.Message):
    __slots__ = ("backend", "page_size", "page_token")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    backend: str
    page_size: int
    page_token: str
    def __init__(self, backend: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[CatalogModel]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[CatalogModel, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CatalogModel(_message.Message):
    __slots__ = ("backend", "model")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    backend: str
    model: _model_pb2.Model
    def __init__(self, backend: _Optional[str] = ..., model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ...) -> None: ...
