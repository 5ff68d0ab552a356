// Filters of the gallery and the scoreboard; the choice is kept in the address. Without this script everything is listed.
(function () {
  for (const form of document.querySelectorAll("form.encore-filter")) start(form);

  function start(form) {
    const items = Array.from(document.querySelectorAll(form.dataset.items), (node) => ({ node, text: "" }));
    const groups = form.dataset.groups ? Array.from(document.querySelectorAll(form.dataset.groups)) : [];
    const search = form.elements.search;
    const selects = Array.from(form.querySelectorAll("select"));
    const controls = [search, ...selects];
    const output = form.querySelector("output");

    function show() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const chosen = selects.filter((s) => s.value).map((s) => s.name + "-" + s.value);
      let shown = 0;
      for (const item of items) {
        if (words.length && !item.text) item.text = item.node.textContent.toLowerCase();
        const fits = chosen.every((name) => item.node.classList.contains(name)) && words.every((word) => item.text.includes(word));
        item.node.hidden = !fits;
        shown += fits;
      }
      for (const group of groups) group.hidden = items.every((item) => item.node.hidden || !group.contains(item.node));
      output.value = shown + " of " + items.length + " " + form.dataset.noun;
    }

    function restore() {
      const wanted = new URLSearchParams(location.search);
      for (const control of controls) {
        const value = wanted.get(control.name) || "";
        if (control !== search && !Array.from(control.options).some((o) => o.value === value)) {
          control.append(new Option(value.replaceAll("-", " ") + " (0)", value)); // a link to what nothing has
        }
        control.value = value;
      }
      show();
    }

    function remember(how) {
      const address = new URL(location);
      for (const control of controls) {
        if (control.value) address.searchParams.set(control.name, control.value);
        else address.searchParams.delete(control.name);
      }
      if (address.href !== location.href) history[how](null, "", address);
    }

    form.addEventListener("input", function (event) {
      show();
      remember(event.target === search ? "replaceState" : "pushState");
    });
    form.addEventListener("reset", function () {
      setTimeout(function () { // after the controls have been reset
        show();
        remember("pushState");
      });
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("popstate", restore);
    form.hidden = false;
    restore();
  }
})();

// What is cut off and can be scrolled is reached by keyboard: the theme sees to code, this to formulas, tables and outputs.
(function () {
  const watch = new ResizeObserver(function (all) {
    for (const { target } of all) {
      if (target.scrollWidth > target.clientWidth && getComputedStyle(target).overflowX === "auto") target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  window.addEventListener("load", async function () {
    await window.MathJax?.startup?.promise;
    for (const node of document.querySelectorAll(".bd-article :is(mjx-container[display], table, .cell_output)")) watch.observe(node);
  });
})();

// Paper is white: whatever the theme, a page is printed in the light one.
(function () {
  const root = document.documentElement, print = matchMedia("print");
  let before = null;
  function turn(paper) {
    if (paper === (before !== null)) return;
    if (paper) before = root.dataset.theme;
    root.dataset.theme = paper ? "light" : before;
    if (!paper) before = null;
  }
  print.addEventListener("change", () => turn(print.matches));
  addEventListener("beforeprint", () => turn(true));
  addEventListener("afterprint", () => turn(false));
})();
