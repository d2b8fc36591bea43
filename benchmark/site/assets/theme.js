// Before anything is drawn: the theme that the reader chose last, if any. Without one, the system decides.
try {
  const chosen = localStorage.getItem("lossbench-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch (error) {
  console.debug("no storage here, so the theme is the system's", error);
}
document.documentElement.classList.add("js");
