// Copies what stands beside a button. Without this script the text is still there to be selected, so buttons start hidden.
for (const button of document.querySelectorAll("[data-copy-button]")) {
  const source = button.parentElement.querySelector("[data-copy]");
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = label; }, 2000);
    } catch {
      // No clipboard (plain http, or refused): select it, so that the keyboard can copy it.
      if (source.select) source.select();
      else getSelection().selectAllChildren(source);
    }
  });
}
