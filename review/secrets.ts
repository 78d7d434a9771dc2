import { isObject } from "./arguments";

/** The text in place of a value that Terraform marks as sensitive. */
export const SENSITIVE = "(sensitive)";

/** The text in place of a private key that everybody could read, since it is not marked as sensitive. */
export const EXPOSED = "(private key, not marked as sensitive)";

/** The text in place of a value whose mark is removed. */
export const UNMARKED = "(no longer marked as sensitive)";

/** Whether a masked value contains a value that was hidden before, or that must be hidden. */
export function isExposed(masked: unknown): boolean {
  const text = JSON.stringify(masked ?? "");
  return text.includes(EXPOSED) || text.includes(UNMARKED);
}

/** Whether a mark of Terraform covers a whole value. */
export function mark(marks: unknown, key: string | number): unknown {
  if (typeof marks !== "object" || marks === null || !Object.hasOwn(marks, key)) return undefined;
  return (marks as Record<string | number, unknown>)[key];
}

/**
 * A value without secrets: what Terraform marks as sensitive, before or after the change, and all that looks like a private
 * key, also in base64, in the keys of an object, or spread over the elements of a list.
 * @param marks - Terraform's marks of this value @default - none
 * @param otherMarks - Terraform's marks of the other side of the change @default - none
 * @param lost - whether a mark that only the other side has is reported as removed @default false
 */
export function masked(value: unknown, marks?: unknown, otherMarks?: unknown, lost = false): unknown {
  if (value === null || value === undefined) return value;
  if (marks === true) return SENSITIVE;
  if (otherMarks === true) return lost ? UNMARKED : SENSITIVE;
  if (isKey(textOf(value))) {
    // The smallest part that has the key is masked. A key that is spread over several parts masks all of them.
    const parts = Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
    const keys = isObject(value) ? Object.keys(value).join("") : "";
    if (isKey(keys) || !parts.some((part) => isKey(textOf(part)))) return EXPOSED;
  }
  if (Array.isArray(value)) {
    return value.map((each, index) => masked(each, mark(marks, index), mark(otherMarks, index), lost));
  }
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, masked(each, mark(marks, key), mark(otherMarks, key), lost)]),
  );
}

/** All text in a value: keys and values, without separators. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(textOf).join("");
  if (isObject(value)) return Object.keys(value).join("") + Object.values(value).map(textOf).join("");
  return typeof value === "string" ? value : "";
}

/** The shortest text in base64 that is decoded. A private key is longer. */
const BASE64 = /[A-Za-z0-9+/_-]{24,}/g;

/** The largest number of times that base64 is decoded, as in a kubeconfig in a Kubernetes Secret. */
const LAYERS = 4;

function isKey(text: string, layers = LAYERS): boolean {
  if (/PRIVATE\s*KEY/.test(text) || isDerKey(text)) return true;
  if (layers === 0) return false;
  // Base64 is often broken into lines.
  return (text.replaceAll(/\s+/g, "").match(BASE64) ?? []).some((part) =>
    // Text before the base64 shifts its groups of four characters.
    [0, 1, 2, 3].some((shift) => isKey(Buffer.from(part.slice(shift), "base64").toString("latin1"), layers - 1)),
  );
}

/** Whether bytes are a private key in DER (PKCS#1, PKCS#8 or SEC1): a sequence whose first element is version 0 or 1. */
function isDerKey(bytes: string): boolean {
  const [sequence, length = 0] = [bytes.charCodeAt(0), bytes.charCodeAt(1)];
  const start = length < 0x80 ? 2 : 2 + (length & 0x7f);
  const [tag, size, version = 2] = [0, 1, 2].map((index) => bytes.charCodeAt(start + index));
  return sequence === 0x30 && tag === 0x02 && size === 1 && version <= 1 && bytes.length > 40;
}

/** The resource types with an attribute that is a private key. */
const KEY_HOLDER =
  /\btls_(private_key|cert_request|self_signed_cert|locally_signed_cert)\b(?:\.[\w-]+)?(?:\[[^\]]*\])*(?:\.(\w+))?/g;

/** Terraform's functions that remove a mark, or that read a file of the host that deploys. */
const REVEALING =
  /\b(nonsensitive|file|filebase64|templatefile|file(md5|sha1|sha256|sha512|base64sha256|base64sha512))\s*\(/;

/**
 * Whether the templates of a value refer to a private key, to a whole resource that has one, or to a file of the host that
 * deploys, or remove the mark of a sensitive value.
 */
export function refersToSecret(value: unknown): boolean {
  const text = JSON.stringify(value ?? "");
  if (!/[$%]\{/.test(text)) return false;
  if (REVEALING.test(text)) return true;
  return [...text.matchAll(KEY_HOLDER)].some(
    ([, , attribute]) => attribute === undefined || /private_key/.test(attribute),
  );
}
