// Passkeys: asks the browser, puts its answer into the form, and sends the form. Nothing else.
"use strict";

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseCreationOptionsFromJSON) break;
  form.hidden = false;
  const said = form.querySelector("[role=alert]");
  form.querySelector("button").addEventListener("click", async () => {
    said.hidden = true;
    const options = JSON.parse(form.dataset.options);
    try {
      const made = form.dataset.passkey === "create"
        ? await navigator.credentials.create({
            publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({
            publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      if (form.elements.credential) {
        const raw = new Uint8Array(made.rawId);
        form.elements.credential.value =
          Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("");
      }
      form.elements.answer.value = JSON.stringify(made.toJSON());
      form.submit();
    } catch (error) {
      said.textContent = "The device gave no passkey. Try again, or use your password.";
      said.hidden = false;
    }
  });
}
