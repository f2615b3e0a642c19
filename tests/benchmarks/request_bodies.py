"""Varied bodies of API requests, and what of each a tokenizer sees."""

from __future__ import annotations

import base64
import inspect
import json
import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from routing_assets.batches import route
from routing_assets.datasets import reading, table
from routing_assets.pricing import cost_model

SENTENCES = {
    "English": [
        "Which of these two contracts gives the tenant more time to leave, and where does it say so?",
        "My train from Porto was cancelled, so I had to take a taxi for 140 euros; who pays for that?",
        "List five arguments for and against a tax on sugar, each in one line.",
        "The patient has had a mild fever for three days and takes 20 mg of omeprazole every morning.",
        "Rewrite this paragraph so that a twelve-year-old understands it, and keep the numbers.",
        "A shop sells pens at $1.20 and notebooks at $3.75. What do 7 pens and 4 notebooks cost?",
        "Classify the ticket below as billing, delivery, technical or other, and answer with one word.",
        "According to the minutes, the board postponed the merger until the auditors have reported.",
        "Why does water expand when it freezes, although most liquids shrink?",
        "Thanks for the quick reply! Could you also check whether the warranty covers the battery?",
        "Extract every person, place and organisation that is mentioned, with the sentence it occurs in.",
        "The bridge was built in 1887 and carries about 31,500 vehicles a day.",
        "You are a careful assistant of an insurance company. Never promise a payment.",
        "Write a limerick about a lighthouse keeper who is afraid of the dark.",
    ],
    "Chinese": [
        "请把下面这段会议记录整理成五条待办事项，并注明负责人。",
        "我上周购买的耳机左边没有声音，请问可以换货吗？",
        "用通俗的语言解释什么是通货膨胀，并举一个生活中的例子。",
    ],
    "Japanese": [
        "この契約書の中で、解約に関する条項をすべて抜き出してください。",
        "先週注文した靴がまだ届きません。配送状況を確認していただけますか。",
        "初心者にもわかるように、再帰関数の仕組みを説明してください。",
    ],
    "Korean": ["지난주에 주문한 신발이 아직 도착하지 않았습니다. 배송 상태를 확인해 주시겠어요?"],
    "Arabic": [
        "لم تصل الطلبية التي اشتريتها الأسبوع الماضي، هل يمكنكم التحقق من حالة الشحن؟",
        "اشرح بلغة بسيطة ما هو التضخم مع مثال من الحياة اليومية.",
    ],
    "Russian": ["Заказанные на прошлой неделе ботинки до сих пор не пришли, проверьте, пожалуйста, где они."],
    "German": ["Die letzte Woche bestellten Schuhe sind noch nicht angekommen; können Sie den Versand prüfen?"],
    "French": ["Les chaussures commandées la semaine dernière ne sont pas arrivées ; pouvez-vous vérifier l'envoi ?"],
    "Spanish": ["Los zapatos que pedí la semana pasada no han llegado; ¿pueden comprobar dónde está el envío?"],
    "Turkish": ["Geçen hafta sipariş ettiğim ayakkabılar hâlâ gelmedi; kargonun nerede olduğuna bakar mısınız?"],
    "emoji": ["omg the new phone 📱😍 is sooo fast 🚀🚀 but the battery 🔋😩 dies by noon 💀 worth it? 🤔👍"],
}
NOUNS = ("order", "invoice", "parcel", "customer", "address", "payment", "refund", "ticket", "agent", "account")
VERBS = ["find", "create", "update", "cancel", "list", "assign", "close", "export"]
SOURCES = [inspect.getsource(module).splitlines() for module in (route, reading, table, cost_model)]


@dataclass
class Sent:
    """A body, and what of it is read by a model.

    Attributes:
        texts: the texts of messages, and tools and schemas as JSON.
        messages: how many there are.
    """

    kind: str
    body: dict[str, Any]
    texts: list[str] = field(default_factory=list)
    messages: int = 0
    images: int = 0

    def tokens(self, count: Callable[[str], int]) -> int:
        """Input tokens by a tokenizer; a message takes three and its role one, and the answer is opened with three."""
        return sum(map(count, self.texts)) + 4 * self.messages + 3


def bodies(number: int, seed: int = 0) -> list[Sent]:
    """So many bodies, of all kinds in turn."""
    rng = random.Random(seed)
    return [one(rng, kind) for kind in (list(KINDS) * number)[:number]]


def one(rng: random.Random, kind: str) -> Sent:
    """A body of this kind, with settings as people have them."""
    body: dict[str, Any] = {"model": "gpt-4o", "messages": []}
    sent = Sent(kind, body)
    KINDS[kind](rng, sent)
    if rng.random() < 0.5:
        body[rng.choice(["max_tokens", "max_completion_tokens"])] = rng.choice([1, 64, 512, 4096])
    if rng.random() < 0.2:
        body["n"] = rng.randint(2, 5)
    if rng.random() < 0.3:
        body |= {"temperature": 0.2, "seed": 7, "user": "u-17"}
    return sent


def say(sent: Sent, role: str, text: str) -> None:
    """Add a message."""
    sent.body["messages"].append({"role": role, "content": text})
    sent.texts.append(text)
    sent.messages += 1


def prose(rng: random.Random, sentences: int, language: str = "English") -> str:
    """Sentences of a language."""
    return " ".join(rng.choice(SENTENCES[language]) for _ in range(sentences))


def short_chat(rng: random.Random, sent: Sent) -> None:
    """One question."""
    say(sent, "user", prose(rng, rng.randint(1, 3)))


def instructed(rng: random.Random, sent: Sent) -> None:
    """A system's text and a question."""
    say(sent, "system", prose(rng, rng.randint(1, 8)))
    say(sent, "user", prose(rng, rng.randint(1, 6)))


def long_chat(rng: random.Random, sent: Sent) -> None:
    """Many turns."""
    for _ in range(rng.randint(2, 12)):
        say(sent, "user", prose(rng, rng.randint(1, 4)))
        say(sent, "assistant", prose(rng, rng.randint(1, 10)))
    say(sent, "user", prose(rng, 1))


def document(rng: random.Random, sent: Sent) -> None:
    """A long text to work on."""
    say(sent, "user", "Summarise:\n\n" + "\n\n".join(prose(rng, rng.randint(3, 9)) for _ in range(rng.randint(3, 30))))


def code(rng: random.Random, sent: Sent) -> None:
    """A piece of a program."""
    lines = rng.choice(SOURCES)
    first = rng.randrange(len(lines) - 20)
    piece = "\n".join(lines[first : first + rng.randint(8, 120)])
    say(sent, "user", f"Find the bug:\n```python\n{piece}\n```")


def foreign(rng: random.Random, sent: Sent) -> None:
    """Another language."""
    language = rng.choice([name for name in SENTENCES if name != "English"])
    say(sent, "user", prose(rng, rng.randint(1, 6), language))


def east_asian(rng: random.Random, sent: Sent) -> None:
    """Chinese or Japanese, without spaces."""
    sentences = SENTENCES[rng.choice(["Chinese", "Japanese"])]
    say(sent, "system", "Answer in the language of the question.")
    say(sent, "user", "".join(rng.choice(sentences) for _ in range(rng.randint(1, 8))))


def numbers(rng: random.Random, sent: Sent) -> None:
    """A table."""
    rows = [
        f"{rng.randint(1, 99999)},{rng.choice(NOUNS)},2024-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d},"
        f"{rng.random() * 10 ** rng.randint(0, 5):.2f}"
        for _ in range(rng.randint(5, 60))
    ]
    say(sent, "user", prose(rng, 1) + "\n\nid,kind,date,amount\n" + "\n".join(rows))


def logs(rng: random.Random, sent: Sent) -> None:
    """Lines of a log, with ids."""
    ids = ["".join(rng.choices(string.hexdigits.lower(), k=32)) for _ in range(rng.randint(3, 20))]
    lines = [
        f'10.0.{rng.randint(0, 255)}.{rng.randint(0, 255)} - - [27/Nov/2024:06:{rng.randint(10, 59)}:07 +0000] "GET '
        f'/api/v2/{rng.choice(NOUNS)}s/{name}?limit={rng.randint(1, 500)} HTTP/1.1" {rng.choice([200, 404, 500])}'
        for name in ids
    ]
    say(sent, "user", "What goes wrong here?\n" + "\n".join(lines))


def tools(rng: random.Random, sent: Sent) -> None:
    """Tools that may be called, and a call with its result."""
    instructed(rng, sent)
    given = [function(rng) for _ in range(rng.randint(1, 12))]
    sent.body["tools"] = given
    sent.texts.append(compact(given))
    if rng.random() < 0.5:
        arguments = json.dumps({"id": rng.randint(1, 9999), "note": prose(rng, 1)})
        called = [{"id": "call_1", "type": "function", "function": {"name": "find_order", "arguments": arguments}}]
        sent.body["messages"].append({"role": "assistant", "content": None, "tool_calls": called})
        sent.body["messages"].append({"role": "tool", "tool_call_id": "call_1", "content": arguments * 3})
        sent.texts += ["call_1find_order", arguments, arguments * 3]
        sent.messages += 2


def schema(rng: random.Random, sent: Sent) -> None:
    """An answer in a form."""
    short_chat(rng, sent)
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": parameters(rng)}}
    sent.body["response_format"] = form
    sent.texts.append(compact(form))


def images(rng: random.Random, sent: Sent) -> None:
    """Pictures as data beside a text."""
    text, data = prose(rng, rng.randint(1, 5)), base64.b64encode(rng.randbytes(rng.randint(300, 30_000))).decode()
    pictures = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}} for _ in range(rng.randint(1, 3))
    ]
    sent.body["messages"].append({"role": "user", "content": [{"type": "text", "text": text}, *pictures]})
    sent.texts.append(text)
    sent.messages, sent.images = 1, len(pictures)


def function(rng: random.Random) -> dict[str, Any]:
    """The declaration of a tool."""
    name = f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}"
    about = {"name": name, "description": prose(rng, rng.randint(1, 3)), "parameters": parameters(rng)}
    return {"type": "function", "function": about}


def parameters(rng: random.Random) -> dict[str, Any]:
    """The schema of an object."""
    kinds: list[Callable[[], dict[str, Any]]] = [
        lambda: {"type": "string", "description": prose(rng, 1)},
        lambda: {"type": "integer", "minimum": 0, "maximum": rng.randint(10, 10_000)},
        lambda: {"type": "array", "items": {"type": "string"}},
        lambda: {"type": "string", "enum": rng.sample(NOUNS, 4)},
    ]
    names = [f"{rng.choice(NOUNS)}{rng.choice(['', '_id', 'Name', '_count', 'At'])}" for _ in range(rng.randint(2, 9))]
    properties = {name: rng.choice(kinds)() for name in names}
    return {"type": "object", "properties": properties, "required": names[:2], "additionalProperties": False}


def compact(value: Any) -> str:
    """The value as JSON without spaces, as it is sent."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


KINDS: dict[str, Callable[[random.Random, Sent], None]] = {
    "short chat": short_chat,
    "system's text": instructed,
    "long chat": long_chat,
    "document": document,
    "code": code,
    "other languages": foreign,
    "Chinese, Japanese": east_asian,
    "table": numbers,
    "log": logs,
    "tools": tools,
    "JSON schema": schema,
    "images": images,
}
