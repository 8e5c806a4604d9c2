// A form that a passkey answers: data-passkey is `create` or `get`, data-challenge the daemon's challenge. The answer goes
// into the field `answer`, and the form is sent. Nothing else of these sites needs JavaScript.
"use strict";

function octets(text) {
  const padded = text.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(padded), (one) => one.charCodeAt(0));
}

function text(buffer) {
  const characters = Array.from(new Uint8Array(buffer), (one) => String.fromCharCode(one)).join("");
  return btoa(characters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function said(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) {
      response[name] = text(credential.response[name]);
    }
  }
  return JSON.stringify({
    id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

async function ask(form) {
  const challenge = octets(form.dataset.challenge);
  if (form.dataset.passkey === "get") {
    return navigator.credentials.get({
      publicKey: { challenge, rpId: form.dataset.rp, userVerification: "required", timeout: 120000 },
    });
  }
  const name = form.elements.label.value;
  return navigator.credentials.create({
    publicKey: {
      challenge, timeout: 120000,
      rp: { id: form.dataset.rp, name: form.dataset.rp },
      user: { id: crypto.getRandomValues(new Uint8Array(16)), name, displayName: name },
      pubKeyCredParams: [{ type: "public-key", alg: -7 }, { type: "public-key", alg: -257 }],
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
    },
  });
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.addEventListener("submit", async (event) => {
    if (form.elements.answer.value) {
      return;
    }
    event.preventDefault();
    const trouble = form.querySelector("[data-trouble]");
    trouble.hidden = true;
    try {
      form.elements.answer.value = said(await ask(form));
      form.submit();
    } catch (error) {
      trouble.textContent = `${trouble.dataset.trouble} (${error.name})`;
      trouble.hidden = false;
    }
  });
}
