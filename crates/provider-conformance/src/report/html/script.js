(() => {
  const rows = [...document.querySelectorAll("details.row[data-status]")];
  const buttons = [...document.querySelectorAll("[data-show]")];
  const search = document.querySelector("#search");
  let shown = "all";
  const apply = () => {
    const words = search.value.toLowerCase();
    for (const row of rows) {
      const status = shown === "all" || shown.split(" ").includes(row.dataset.status);
      row.hidden = !(status && row.textContent.toLowerCase().includes(words));
    }
    for (const area of document.querySelectorAll("section[data-area]")) {
      area.hidden = !area.querySelector("details.row:not([hidden])");
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.show === shown));
    }
  };
  for (const button of buttons) {
    button.addEventListener("click", () => { shown = button.dataset.show; apply(); });
  }
  search.addEventListener("input", apply);
  const open = () => {
    const row = document.getElementById(location.hash.slice(1));
    if (row instanceof HTMLDetailsElement) { row.open = true; row.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  apply();
  open();
})();
