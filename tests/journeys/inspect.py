"""Looking at a page as its users do: narrow and wide, with large text, by axe's rules."""

from __future__ import annotations

from typing import Any

from tests.rig.browser import Visitor

WIDTHS = (320, 768, 1280)

# Controls and words that lie over one another, of which neither holds the other.
_OVERLAPS = """() => {
  const seen = [...document.querySelectorAll("a, button, input, select, summary, label, h1, h2, h3, p, li, dt, dd")]
    .filter(e => e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}))
    .filter(e => !["absolute", "fixed"].includes(getComputedStyle(e).position))
    // Words that run over several lines take only those lines, not the box around them all.
    // The room around a link's words is for the finger: it may reach over other words, its own words may not.
    .map(e => {
      const words = e.matches("a") ? [...e.childNodes].filter(n => !n.matches?.(".vh")).map(n => {
        const range = document.createRange();
        range.selectNode(n);
        return range;
      }) : [e];
      return [e, words.flatMap(each => [...each.getClientRects()]).filter(r => r.width > 2 && r.height > 2)];
    });
  const meet = (r, q) => Math.min(r.right, q.right) - Math.max(r.left, q.left) > 2
    && Math.min(r.bottom, q.bottom) - Math.max(r.top, q.top) > 2;
  const found = [];
  for (let i = 0; i < seen.length; i++) for (let j = i + 1; j < seen.length; j++) {
    const [a, mine] = seen[i], [b, theirs] = seen[j];
    if (a.contains(b) || b.contains(a) || a.closest("label")?.contains(b) || b.closest("label")?.contains(a)) continue;
    if (mine.some(r => theirs.some(q => meet(r, q))))
      found.push(`${a.outerHTML.slice(0, 80)} over ${b.outerHTML.slice(0, 80)}`);
  }
  return found.slice(0, 3);
}"""

# What is wider than the window, apart from what scrolls inside a box of its own.
_TOO_WIDE = """() => document.documentElement.scrollWidth > innerWidth
  ? [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
      .slice(0, 3).map(e => e.outerHTML.slice(0, 120)).concat([`page is ${document.documentElement.scrollWidth} wide`])
  : []"""

_SMALL_TARGETS = """() => [...document.querySelectorAll("button, input:not([type=hidden]), select, summary, a[class]")]
  .filter(e => e.checkVisibility() && !e.closest("p, li, dd, dt"))
  .map(e => [e, (e.closest("label") || e).getBoundingClientRect()])
  .filter(([e, r]) => r.width > 2 && r.height > 2 && (r.height < 24 || r.width < 24))
  .map(([e]) => e.outerHTML.slice(0, 100))"""


# Sections far below are laid out when somebody comes near them (content-visibility).
_NEAR = """() => {
  const sheet = document.styleSheets[0];
  sheet.insertRule(".who { content-visibility: visible !important; }", sheet.cssRules.length);
}"""

_IS_AT_REST = """() => !document.querySelector(".htmx-request")
  && !document.getAnimations().some(a => a instanceof CSSTransition)"""


def _wait_until_at_rest(visitor: Visitor) -> None:
    """What was just swapped in fades in. (Playwright's own waiting would need eval, which our policy forbids.)"""
    for _ in range(100):
        visitor.page.wait_for_timeout(50)
        if visitor.page.evaluate(_IS_AT_REST):
            return
    raise AssertionError("the page never comes to rest")


def faults_of(visitor: Visitor) -> dict[str, Any]:
    """Everything wrong with the page as it is now; empty when nothing is."""
    page = visitor.page
    found: dict[str, Any] = {}
    before = page.viewport_size
    page.mouse.move(0, 0)
    # What is left out while it is far away is looked at like the rest.
    page.evaluate(_NEAR)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for size in ("100%", "200%") if width != 768 else ("100%",):
            page.evaluate("size => document.documentElement.style.fontSize = size", size)
            case = f"{width} px, text {size}"
            if too_wide := page.evaluate(_TOO_WIDE):
                found[f"overflow at {case}"] = too_wide
            if overlaps := page.evaluate(_OVERLAPS):
                found[f"overlap at {case}"] = overlaps
        page.evaluate("document.documentElement.style.fontSize = ''")
        _wait_until_at_rest(visitor)
        if small := page.evaluate(_SMALL_TARGETS):
            found[f"small targets at {width} px"] = small
        if violations := visitor.axe():
            found[f"axe at {width} px"] = violations
    if before:
        page.set_viewport_size(before)
    return found
