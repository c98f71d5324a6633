"use strict";
(() => {
  const tools = document.querySelector(".tools");
  const box = document.getElementById("search");
  const found = document.getElementById("found");
  const nothing = document.getElementById("nothing");
  const unfold = document.getElementById("unfold");
  const chips = [...tools.querySelectorAll(".chip")];
  const lists = [...document.querySelectorAll("details.list")];
  const wasOpen = new Map(lists.map((list) => [list, list.open]));

  // What can be found: a change also by the clusters of its group and by its kind.
  const rows = [...document.querySelectorAll("[data-row]")].map((element) => {
    const group = element.closest("[data-group]");
    const kind = element.closest("[data-kind]");
    return {
      element,
      action: element.dataset.action || "",
      change: group !== null,
      fold: element.closest("details.list"),
      short: lower(element.querySelector("summary") || element),
      long: lower(element),
      also: [element.dataset.also, group && group.dataset.also, kind && kind.firstElementChild.textContent]
        .filter(Boolean).join(" ").toLowerCase(),
      openedBySearch: false,
    };
  });
  const changes = rows.filter((row) => row.change);

  function lower(element) {
    return element.textContent.toLowerCase();
  }

  function apply() {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const actions = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true")
      .map((chip) => chip.dataset.action);
    let seen = 0;
    const opened = new Set();
    for (const row of rows) {
      const wanted = !row.change || !actions.length || actions.includes(row.action);
      const there = wanted
        && words.every((word) => row.long.includes(word) || row.also.includes(word));
      row.element.hidden = !there;
      seen += row.change && there;
      if (there && words.length && row.fold) opened.add(row.fold);
      if (row.change) openWhereHidden(row, there ? words : []);
    }
    for (const list of lists) list.open = words.length ? opened.has(list) : wasOpen.get(list);
    hideEmpty("[data-kind]");
    hideEmpty("[data-group]");
    hideEmpty(".cards");
    const filtered = words.length > 0 || actions.length > 0;
    nothing.hidden = !filtered || rows.some((row) => !row.element.hidden);
    found.textContent = filtered ? `${seen} of ${changes.length} different changes` : "";
    document.documentElement.dataset.found = filtered ? String(seen) : "";
  }

  // A word that stands only in a change's fields is shown by unfolding it.
  function openWhereHidden(row, words) {
    const inside = words.some((word) => !row.short.includes(word) && !row.also.includes(word));
    if (inside && !row.element.open) {
      row.element.open = true;
      row.openedBySearch = true;
    } else if (!inside && row.openedBySearch) {
      row.element.open = false;
      row.openedBySearch = false;
    }
  }

  function hideEmpty(selector) {
    for (const part of document.querySelectorAll(selector)) {
      part.hidden = !part.querySelector("[data-row]:not([hidden])");
    }
  }

  function fromAddress() {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("search");
    if (wanted === null) return false;
    box.value = wanted;
    apply();
    return true;
  }

  function toAddress() {
    const hash = box.value ? `#search=${encodeURIComponent(box.value)}` : "#";
    history.replaceState(null, "", hash);
  }

  function unfoldAll(open) {
    for (const row of changes) row.element.open = open;
    unfold.setAttribute("aria-pressed", String(open));
    unfold.textContent = open ? "Fold all" : "Unfold all";
  }

  let waiting = 0;
  box.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { toAddress(); apply(); }, rows.length > 500 ? 150 : 0);
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const pressed = chip.getAttribute("aria-pressed") === "true";
      chip.setAttribute("aria-pressed", String(!pressed));
      apply();
    });
  }
  unfold.addEventListener("click", () => {
    unfoldAll(unfold.getAttribute("aria-pressed") !== "true");
  });
  window.addEventListener("hashchange", () => {
    if (fromAddress()) document.getElementById("changes").scrollIntoView();
  });
  window.addEventListener("beforeprint", () => { if (changes.length < 300) unfoldAll(true); });
  tools.hidden = false;
  fromAddress();
})();
