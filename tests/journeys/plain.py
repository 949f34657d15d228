"""A visitor with scripts off and no browser: pages as text, links and forms followed by what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx


@dataclass
class Button:
    text: str
    name: str = ""
    value: str = ""
    label: str = ""


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[Button] = field(default_factory=list)


class _Reader(HTMLParser):
    """The forms, links and words of one page, as a browser without scripts has them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.words: list[str] = []
        self._form: Form | None = None
        self._button: Button | None = None
        self._link: list[str] | None = None
        self._select = ""
        self._skip = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attributes}
        if tag in ("script", "style", "template"):
            self._skip += 1
        elif tag == "form":
            self._form = Form(has.get("action", ""), has.get("method", "get").lower())
            self.forms.append(self._form)
        elif tag == "a" and "href" in has:
            self._link = [has["href"]]
        elif self._form is not None:
            self._in_form(tag, has)

    def _in_form(self, tag: str, has: dict[str, str]) -> None:
        form, name = self._form, has.get("name", "")
        assert form is not None
        if tag == "button" and has.get("type", "submit") == "submit":
            self._button = Button("", name, has.get("value", ""), has.get("aria-label", ""))
            form.buttons.append(self._button)
        elif tag == "input" and has.get("type") in ("radio", "checkbox"):
            form.choices.setdefault(name, []).append(has.get("value", "on"))
            if "checked" in has:
                form.fields[name] = has.get("value", "on")
        elif tag == "input" and name:
            form.fields[name] = has.get("value", "")
        elif tag == "textarea" and name:
            form.fields[name] = ""
        elif tag == "select" and name:
            self._select = name
            form.fields[name] = ""
        elif tag == "option" and self._select:
            form.choices.setdefault(self._select, []).append(has.get("value", ""))
            if "selected" in has:
                form.fields[self._select] = has.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template"):
            self._skip -= 1
        elif tag == "form":
            self._form = None
        elif tag == "select":
            self._select = ""
        elif tag == "button":
            self._button = None
        elif tag == "a" and self._link is not None:
            self.links.append((self._link[0], " ".join(" ".join(self._link[1:]).split())))
            self._link = None

    def handle_data(self, data: str) -> None:
        if self._skip or not data.strip():
            return
        self.words.append(data.strip())
        if self._button is not None:
            self._button.text = f"{self._button.text} {data.strip()}".strip()
        if self._link is not None:
            self._link.append(data.strip())


class Page:
    """``way`` has the addresses that led here from the one that was asked."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.url = response.url
        self.path = response.url.path
        self.way = [each.url.path for each in response.history]
        self.html = response.text
        reader = _Reader()
        reader.feed(self.html)
        self.forms, self.links = reader.forms, reader.links
        self.text = " ".join(" ".join(reader.words).split())

    def buttons(self, name: str) -> list[Button]:
        return [button for form in self.forms for button in form.buttons if button.name == name]


class PlainVisitor:
    """One person: own cookies, and the page they are on."""

    def __init__(self, base_url: str) -> None:
        self.http = httpx.Client(base_url=base_url, follow_redirects=True, timeout=60, trust_env=False)
        self.page: Page

    def open(self, path: str) -> Page:
        self.page = Page(self.http.get(path))
        return self.page

    def follow(self, text: str) -> Page:
        """Follow the first link whose words hold ``text``."""
        href = next(href for href, words in self.page.links if text in words)
        return self.open(urljoin(str(self.page.url), href))

    def press(
        self, text: str = "", *, name: str = "", value: str = "", fields: Mapping[str, str] | None = None
    ) -> Page:
        """Press the first button that holds ``text`` (or has ``name`` and ``value``), its form filled with ``fields``."""
        form, button = self._button(text, name, value)
        data = {**form.fields, **(fields or {})}
        for asked in fields or {}:
            assert asked in form.fields or asked in form.choices, f"the form has no field {asked}"
        if button.name:
            data[button.name] = button.value
        action = urljoin(str(self.page.url), form.action or str(self.page.url))
        if form.method == "post":
            # Where it stands a browser names the page it came from, and Django looks at that over HTTPS.
            self.page = Page(self.http.post(action, data=data, headers={"Referer": str(self.page.url)}))
        else:
            self.page = Page(self.http.get(action, params=data))
        return self.page

    def _button(self, text: str, name: str, value: str) -> tuple[Form, Button]:
        for form in self.page.forms:
            for button in form.buttons:
                is_named = not name or (button.name == name and (not value or button.value == value))
                if is_named and (not text or text in button.text or text in button.label):
                    return form, button
        raise AssertionError(f"no button “{text or name}” on {self.page.path}: {self.page.text[:600]}")

    def close(self) -> None:
        self.http.close()
