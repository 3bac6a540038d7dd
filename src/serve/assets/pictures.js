// Saves charts as PNG: the SVG of the server, drawn at twice its size.
"use strict";
(() => {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-png]");
    if (!button) return;
    const picture = new Image();
    picture.addEventListener("load", () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [2 * picture.naturalWidth, 2 * picture.naturalHeight];
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = `${new URL(picture.src).pathname.split("/").slice(2).join("-").replace(/\.svg$/, "")}.png`;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      });
    });
    picture.src = button.dataset.png;
  });
})();
