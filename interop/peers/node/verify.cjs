// xml-crypto's verdict on signed documents: KEY (REFERENCES FILE)... prints a line each, `valid` or `invalid` first.
const { readFileSync } = require("node:fs");
const { DOMParser } = require("@xmldom/xmldom");
const { SignedXml } = require("xml-crypto");

const DS = "http://www.w3.org/2000/09/xmldsig#";
const [key, ...words] = process.argv.slice(2);
const publicCert = readFileSync(key, "utf8");

function verdict(file, references) {
  const xml = readFileSync(file, "utf8");
  const found = new DOMParser().parseFromString(xml, "text/xml").getElementsByTagNameNS(DS, "Signature");
  if (found.length !== 1) return `invalid: ${found.length} signatures`;
  const signed = new SignedXml({ publicCert, getCertFromKeyInfo: () => null, idMode: references > 1 ? "wssecurity" : undefined });
  signed.loadSignature(found[0]);
  if (!signed.checkSignature(xml)) return "invalid";
  const covered = signed.getSignedReferences().length;
  return covered === references ? "valid" : `invalid: covers ${covered} elements`;
}

for (let at = 0; at < words.length; at += 2) {
  try {
    console.log(verdict(words[at + 1], Number(words[at])));
  } catch (error) {
    console.log(`invalid: ${String(error.message).split("\n")[0]}`);
  }
}
