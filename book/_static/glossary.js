// Glossary tips. Without this script a term is a link with a title; with it the tip also comes by keyboard and by touch.
(function () {
  const terms = document.querySelectorAll("a.encore-term[title]");
  if (!terms.length) return;
  const tip = document.createElement("div");
  tip.id = "encore-tip";
  tip.className = "encore-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  let shown = null, timer = 0, tapped = false;

  function show(term, touch) {
    clearTimeout(timer);
    if (shown === term) return;
    hide();
    shown = term;
    tip.textContent = term.dataset.tip;
    if (touch) {
      const more = document.createElement("small");
      more.textContent = "Tap the word again for the glossary.";
      tip.append(more);
    }
    term.setAttribute("aria-describedby", tip.id);
    tip.hidden = false;
    const lines = term.getClientRects(), first = lines[0], last = lines[lines.length - 1];
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const below = last.bottom + tip.offsetHeight + 12 < window.innerHeight || first.top < tip.offsetHeight + 12;
    tip.style.left = window.scrollX + Math.max(8, Math.min((below ? last : first).left, room)) + "px";
    tip.style.top = window.scrollY + (below ? last.bottom + 4 : first.top - tip.offsetHeight - 4) + "px";
  }

  function hide() {
    if (shown) shown.removeAttribute("aria-describedby");
    shown = null;
    tip.hidden = true;
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(hide, 200); // long enough to move the pointer into the tip
  }

  for (const term of terms) {
    term.dataset.tip = term.title;
    term.removeAttribute("title");
    term.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && show(term, false));
    term.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && later());
    term.addEventListener("focus", () => show(term, tapped));
    term.addEventListener("blur", later);
    let fresh = false;
    term.addEventListener("pointerdown", function (event) {
      tapped = event.pointerType !== "mouse";
      fresh = tapped && shown !== term;
    });
    term.addEventListener("click", function (event) {
      if (fresh) {
        event.preventDefault();
        show(term, true);
      }
      fresh = tapped = false;
    });
  }
  tip.addEventListener("pointerenter", () => clearTimeout(timer));
  tip.addEventListener("pointerleave", later);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("pointerdown", (event) => shown && !shown.contains(event.target) && !tip.contains(event.target) && hide());
})();
