// Pan and zoom of an image, and keys for the next one.
"use strict";
(() => {
  const overlay = document.getElementById("overlay");
  if (!overlay) return;
  const whole = overlay.dataset.view.split(" ").map(Number);
  let view = [...whole];
  const show = () => overlay.setAttribute("viewBox", view.join(" "));
  const zoom = (factor, x, y) => {
    const width = Math.min(whole[2], Math.max(whole[2] / 40, view[2] * factor)), ratio = width / view[2];
    view = [x - (x - view[0]) * ratio, y - (y - view[1]) * ratio, width, view[3] * ratio];
    show();
  };
  const middle = () => [view[0] + view[2] / 2, view[1] + view[3] / 2];
  // A place on the screen as one of the image.
  const place = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(overlay.getScreenCTM().inverse());
    return [at.x, at.y];
  };
  overlay.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(event.deltaY / 400), ...place(event)); }, { passive: false });
  let held = null;
  overlay.addEventListener("pointerdown", (event) => { held = place(event); overlay.setPointerCapture(event.pointerId); });
  overlay.addEventListener("pointerup", () => { held = null; });
  overlay.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [x, y] = place(event);
    view = [view[0] + held[0] - x, view[1] + held[1] - y, view[2], view[3]];
    show();
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const go = (rel) => document.querySelector(`a[rel="${rel}"]`)?.click();
    const act = {
      ArrowLeft: () => go("prev"), ArrowRight: () => go("next"), "+": () => zoom(0.8, ...middle()), "=": () => zoom(0.8, ...middle()),
      "-": () => zoom(1.25, ...middle()), 0: () => { view = [...whole]; show(); },
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
})();
