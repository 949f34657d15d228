/* Comfort only: every page works without this file. */
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  /* Saying things to a screen reader, politely. */
  const say = (words) => {
    const box = $("#say");
    if (!box || !words) return;
    box.textContent = "";
    setTimeout(() => { box.textContent = words; }, 60);
  };

  /* A field that depends on a choice is shown only while that choice is made. */
  const showChosen = () => all("[data-when]").forEach((box) => {
    const chosen = $(`[name="${box.dataset.when}"]:checked`);
    box.hidden = !!chosen && chosen.value !== box.dataset.is;
  });
  document.addEventListener("change", showChosen);

  /* The hold: what is left of it in words, and telling the server when the patient leaves or comes back. */
  let clock;
  const hold = () => $("#hold[data-hold]");
  const runClock = () => {
    clearInterval(clock);
    const box = hold();
    if (!box) return;
    const ends = Date.now() + box.dataset.hold * 1000;
    const left = $("[data-left]", box);
    let before = Infinity;
    const tick = () => {
      const seconds = Math.max(0, Math.round((ends - Date.now()) / 1000));
      const minutes = Math.ceil(seconds / 60);
      if (seconds === 0) {
        clearInterval(clock);
        const ended = $("template", box).content.cloneNode(true);
        left.remove();
        $("p", box).replaceWith(ended);
        $("[data-more]", box)?.remove();
        box.removeAttribute("data-hold");
        say($("p", box).textContent);
        return;
      }
      const words = seconds > 120
        ? `About ${minutes} minutes left`
        : `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
      if (left.textContent !== words) left.textContent = words;
      if (seconds <= 120 && before > 120 && before !== Infinity) {
        say(`2 minutes left to book this time.${$("[data-more]", box) ? " You can ask for more time." : ""}`);
      }
      before = seconds;
    };
    tick();
    clock = setInterval(tick, 1000);
  };

  const tell = (url) => {
    const token = $("[name=csrfmiddlewaretoken]");
    if (!url || !token) return;
    const body = new FormData();
    body.append("csrfmiddlewaretoken", token.value);
    if (!navigator.sendBeacon?.(url, body)) fetch(url, { method: "POST", body, keepalive: true }).catch(() => {});
  };
  const remember = (value) => { try { value ? sessionStorage.setItem("left", "1") : sessionStorage.removeItem("left"); } catch { /* kept nowhere */ } };
  const hasLeft = () => { try { return sessionStorage.getItem("left"); } catch { return true; } };
  let staysHere = false;
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (link) staysHere = link.origin === location.origin && !link.target;
  });
  addEventListener("pagehide", () => {
    if (!hold() || staysHere) return;
    tell(hold().dataset.leave);
    remember(true);
  });
  addEventListener("pageshow", (event) => {
    staysHere = false;
    /* The word that the patient left may reach the server after this page was made. */
    if (hold() && (event.persisted || hasLeft())) setTimeout(() => hold() && tell(hold().dataset.resume), 400);
    remember(false);
    all("[data-sent]").forEach(letGo);
  });

  /* A form is sent once. The button that sent it says so. */
  const letGo = (form) => {
    delete form.dataset.sent;
    all(".is-busy", form).forEach((button) => {
      button.classList.remove("is-busy");
      button.removeAttribute("aria-disabled");
      if (button.dataset.words) button.textContent = button.dataset.words;
    });
  };
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || form.hasAttribute("hx-post") || event.defaultPrevented) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    staysHere = true;
    form.dataset.sent = "1";
    const button = event.submitter;
    if (button && (button.dataset.busy || button.name === "slot")) {
      button.classList.add("is-busy");
      button.setAttribute("aria-disabled", "true");
      if (button.dataset.busy) {
        button.dataset.words = button.textContent;
        button.textContent = button.dataset.busy;
      }
      say(button.dataset.busy || "Holding this time for you");
    }
    setTimeout(letGo, 25000, form);
  });

  /* After a part of the page was replaced: what was open stays open, focus stays where it was, and it is said. */
  let kept = {}, tag = "";
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (xhr.getResponseHeader("HX-Retarget")) event.detail.shouldSwap = true;
    if (xhr.status === 304) { event.detail.shouldSwap = false; return; }
    if (target.id === "times") tag = xhr.getResponseHeader("ETag");
    const focus = document.activeElement;
    kept = {
      open: all("details[open][id]", target).map((each) => each.id),
      had: target.contains(focus) && focus !== document.body && { id: focus.id, slot: focus.name === "slot" && focus.value },
      days: $(".days", target)?.scrollLeft,
      top: scrollY,
      state: target.dataset?.state,
    };
  });
  const showDay = (left) => {
    const strip = $(".days"), day = $(".day[aria-current]");
    if (!strip || !day) return;
    if (left) strip.scrollLeft = left;
    const over = day.getBoundingClientRect(), view = strip.getBoundingClientRect();
    if (over.left < view.left || over.right > view.right) strip.scrollLeft += over.left - view.left - 16;
  };
  document.addEventListener("htmx:afterSettle", (event) => {
    const part = event.detail.elt;
    const isQuiet = "quiet" in (event.detail.requestConfig?.elt?.dataset ?? {});
    $("#trouble")?.replaceChildren();
    if (part === document.body) {
      /* Another page came in place of this one: its heading is where reading goes on. */
      const heading = $("h1");
      heading.tabIndex = -1;
      heading.focus();
      return;
    }
    kept.open?.forEach((id) => { const each = document.getElementById(id); if (each) each.open = true; });
    if (part.id === "times") {
      showDay(kept.days);
      /* The browser loses its place while the part is out of the page. */
      if (kept.top !== undefined) scrollTo({ top: kept.top, behavior: "instant" });
    }
    if (part.id === "hold") runClock();
    if (kept.had && document.activeElement === document.body) {
      const same = kept.had.slot
        ? all("button[name=slot]", part).find((each) => each.value === kept.had.slot)
        : document.getElementById(kept.had.id || "-");
      same?.focus({ preventScroll: true });
    }
    if (kept.state && kept.state !== part.dataset.state) {
      const heading = $("h1", part);
      document.title = `${heading?.textContent} – ${document.title.split(" – ").pop()}`;
      heading?.focus();
    } else if (kept.had && document.activeElement === document.body) {
      /* What had the focus is gone: the next best place is the part it was in. */
      const place = part.id === "times" ? $(".day[aria-current]", part) ?? $("h2", part) : part;
      if (!place.hasAttribute("tabindex") && place.tagName !== "A") place.tabIndex = -1;
      place.focus({ preventScroll: true });
    }
    if (!isQuiet) say(part.dataset.say);
    kept = {};
  });
  /* An open grid looks again while somebody looks at it; what has not changed is not sent again. */
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.id !== "look") return;
    if (document.hidden) event.preventDefault();
    else if (tag) event.detail.headers["If-None-Match"] = tag;
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && $("#look")) htmx.trigger("#look", "look");
  });
  document.addEventListener("checked", (event) => {
    const look = $("#look");
    if (look) look.textContent = event.detail.words;
  });
  const complain = (...words) => {
    const box = $("#trouble");
    if (!box) return;
    const alert = document.createElement("div");
    const line = document.createElement("p");
    alert.className = "alert is-error";
    alert.setAttribute("role", "alert");
    line.append(...words);
    alert.append(line);
    box.replaceChildren(alert);
    alert.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    complain("Your device did not finish that, or it was stopped. Try again, or use a code.");
  });
  const trouble = (event) => {
    const { requestConfig, xhr } = event.detail;
    if ("quiet" in (requestConfig?.elt?.dataset ?? {}) || xhr?.getResponseHeader("HX-Retarget")) return;
    const again = document.createElement("a");
    again.href = requestConfig?.verb === "get" ? requestConfig.path : location.href;
    again.textContent = "Try again";
    complain("That did not load. What you entered is kept. ", again);
  };
  for (const name of ["responseError", "sendError", "timeout"]) document.addEventListener(`htmx:${name}`, trouble);

  showChosen();
  runClock();
  /* Where the day is can be asked for nothing once the page is laid out, and would hold up its first look before. */
  requestAnimationFrame(() => setTimeout(showDay));
  ($("#errors") ?? $("[data-focus]"))?.focus();
})();
