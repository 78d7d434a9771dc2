import { isObject } from "./arguments";
import { expressionsOf } from "./templates";

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
const KEY_HOLDER = /\btls_(private_key|cert_request|self_signed_cert|locally_signed_cert)\b/g;

/** The attributes of these types that everybody may see, as the whole of a reference. */
const PUBLIC_ATTRIBUTE =
  /^tls_\w+\.[\w-]+(\[\d+\])?\.(id|cert_pem|cert_request_pem|public_key_pem|public_key_openssh|public_key_fingerprint_\w+|validity_(start|end)_time|ready_for_renewal|key_algorithm|algorithm|rsa_bits)(?![\w-]|\s*[.[])/;

/**
 * Terraform's functions that only calculate. All others count as revealing, because they read a file of the host that deploys,
 * remove a mark, or are those of a provider.
 * @see https://developer.hashicorp.com/terraform/language/functions
 */
const CALCULATING = new Set(
  (
    "abs ceil floor log max min parseint pow signum chomp endswith format formatlist indent join lower regex regexall replace " +
    "split startswith strcontains strrev substr title trim trimprefix trimsuffix trimspace upper alltrue anytrue chunklist " +
    "coalesce coalescelist compact concat contains distinct element flatten index keys length list lookup map matchkeys merge " +
    "one range reverse setintersection setproduct setsubtract setunion slice sort sum transpose values zipmap base64decode " +
    "base64encode base64gzip csvdecode jsondecode jsonencode textdecodebase64 textencodebase64 urlencode yamldecode yamlencode " +
    "formatdate plantimestamp timeadd timecmp timestamp base64sha256 base64sha512 bcrypt md5 sha1 sha256 sha512 uuid uuidv5 " +
    "cidrhost cidrnetmask cidrsubnet cidrsubnets can issensitive sensitive tobool tolist tomap tonumber toset tostring try type"
  ).split(" "),
);

/** All texts in a value: keys and values. */
function textsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (Array.isArray(value)) return value.flatMap(textsOf);
  return isObject(value) ? [...Object.keys(value), ...Object.values(value).flatMap(textsOf)] : [];
}

function hasCode(value: unknown, test: (code: string) => boolean): boolean {
  return textsOf(value).some((text) => expressionsOf(text).some(test));
}

/** Whether code calls anything but a function that only calculates. Comments and here-documents could hide a call. */
function calls(code: string): boolean {
  if (/#|\/\/|\/\*|<</.test(code)) return true;
  // A parenthesis after an operator, or at the start, is no call.
  return [...code.matchAll(/([\w:-]+)\s*\(/g)].some(
    ([, name = ""]) => !CALCULATING.has(name) && !/^(in|if|-|:)$/.test(name),
  );
}

/**
 * Whether the templates of a value remove the mark of a sensitive value, or call a function that this page does not know as one
 * that only calculates.
 */
export function unmarks(value: unknown): boolean {
  return hasCode(value, calls);
}

/**
 * Whether the templates of a value may refer to a private key, or unmark a value. A resource that has a private key may occur
 * only in a reference to one of its public attributes, and `self` only in a reference to an attribute without a key.
 */
export function refersToSecret(value: unknown): boolean {
  return hasCode(
    value,
    (code) =>
      calls(code) ||
      /\bprivate_key_(pem|openssh)|\bself\b(?!\.(id|public_ip|private_ip)\b)/.test(code) ||
      [...code.matchAll(KEY_HOLDER)].some(({ index }) => !PUBLIC_ATTRIBUTE.test(code.slice(index))),
  );
}
