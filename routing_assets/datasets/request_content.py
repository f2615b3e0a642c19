"""Everything that the body of a request sends: its texts, and what is attached to it as data or by a link."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CAPABILITY = {"images": "vision", "audio": "audio", "files": "files"}
"""What a model must be able to do for each kind of attachment."""

_PART_TYPES = {
    **dict.fromkeys(("image", "image_url", "input_image", "computer_screenshot"), "images"),
    **dict.fromkeys(("audio", "audio_url", "input_audio"), "audio"),
    **dict.fromkeys(("file", "input_file", "document", "video", "video_url", "input_video"), "files"),
}
_MEDIA = {"image": "images", "audio": "audio"}
"""Kind of attachment by the first word of its media type; any other type is a file."""
_INLINE = ("inlineData", "inline_data", "fileData", "file_data")
_PAYLOADS = {
    *("type", "source", "data", "bytes", "url", "detail", "image_url", "input_audio", "audio_url", "video_url"),
    *("image", "audio", "video", "document", "file", "file_id", "file_url", "filename", *_INLINE),
}
"""Fields that hold an attachment or its address."""
_TEXTS = ("content", "text", "parts")
_KINDS = ("role", "type")
_LONGEST_WORD = 64  # characters of a setting or a kind; longer texts are input
_MAY_ATTACH = re.compile("image|audio|video|document|file|screenshot|inline|;base64,")
"""Without one of these in its JSON a value holds no attachment, and need not be searched for one."""
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_DATA_URI = re.compile(r"\s*data:(?P<media>[\w.+-]*)[^,]{0,200};base64,")


@dataclass
class Content:
    """What is sent.

    Attributes:
        messages: how many there are, the system's text among them.
        texts: every text, and the JSON of every value that is neither text nor attachment.
        attached: the number of attachments of each kind.
    """

    messages: int = 0
    texts: list[str] = field(default_factory=list)
    attached: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAPABILITY, 0))

    @classmethod
    def of_body(cls, body: Mapping[str, Any], conversations: Iterable[str]) -> Content:
        """What a request's body sends; numbers and single words at its top level are settings and left out.

        Args:
            conversations: fields of the body that hold messages and texts.
        """
        content, spoken = cls(), set(conversations)
        for name, value in body.items():
            if name in spoken and value:
                spoken_by = [item for item in value if isinstance(item, dict) and "role" in item]
                content.messages += max(len(spoken_by), 1)
                content._add(value)
            elif isinstance(value, str):
                if len(value) > _LONGEST_WORD:
                    content._add(value)
            elif isinstance(value, dict | list):
                content._add_json({name: value})
        return content

    def _add(self, value: Any) -> None:
        if isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, list):
            for item in value:
                self._add(item)
        elif not isinstance(value, dict) or _attachment(value):
            self._add_json(value)
        else:
            for name, part in value.items():
                if name in _TEXTS:
                    self._add(part)
                elif not (name in _KINDS and isinstance(part, str) and len(part) <= _LONGEST_WORD):
                    self._add_json({name: part})

    def _add_json(self, value: Any) -> None:
        text = _encode(value) if value else ""
        if _MAY_ATTACH.search(text):
            rest = self._without_attachments(value)
            text = _encode(rest) if rest else ""
        if text:
            self.texts.append(text)

    def _add_text(self, text: str) -> None:
        if self._without_attachments(text):
            self.texts.append(text)

    def _without_attachments(self, value: Any) -> Any:
        """The value without its attachments, which are added to ``attached``."""
        if isinstance(value, list):
            return [self._without_attachments(item) for item in value]
        if isinstance(value, str | dict) and (kind := _attachment(value)):
            self.attached[kind] += 1
            return {} if isinstance(value, str) else {k: v for k, v in value.items() if k not in _PAYLOADS}
        if isinstance(value, dict):
            return {name: self._without_attachments(part) for name, part in value.items()}
        return value


def _attachment(value: str | Mapping[str, Any]) -> str | None:
    """The kind of attachment that this text or part is; None for any other."""
    if isinstance(value, str):
        data = _DATA_URI.match(value)
        return _MEDIA.get(data["media"], "files") if data else None
    source = value.get("source")
    if value.get("type") in _PART_TYPES and isinstance(value["type"], str):
        of_text = isinstance(source, dict) and source.get("type") in ("text", "content")
        return None if of_text else _PART_TYPES[value["type"]]
    for name in _INLINE:
        if isinstance(data := value.get(name), dict):
            media = next((data[key] for key in ("mimeType", "mime_type") if key in data), "")
            return _MEDIA.get(str(media).split("/")[0], "files")
    for name in ("image", "audio", "video", "document"):  # as in Bedrock's Converse
        if isinstance(part := value.get(name), dict) and {"format", "source"} <= part.keys():
            return _PART_TYPES[name]
    return None
