/** The marks around an expression in a content. No content of a file has them. */
const [BEGIN, END] = ["\uE000", "\uE001"];

/**
 * The text of a copied file, as the configuration has it, with the expressions in it between marks.
 * @returns undefined if it has another form than `FileDistribution` writes, or if a literal of it has a template
 */
export function plainContent(content: unknown): string | undefined {
  const [, code] = /^\$\{base64encode\((.*)\)\}$/s.exec(String(content)) ?? [];
  const [, list] = /^join\("", \[(.*)\]\)$/s.exec(code ?? "") ?? [];
  const elements = list === undefined ? [code] : splitList(list);
  const texts = elements.map((each) => (each?.startsWith('"') ? literalText(each) : each && `${BEGIN}${each}${END}`));
  return texts.every((text) => text !== undefined) ? texts.join("") : undefined;
}

/** The lines of a copied file for a page, with expressions as templates; the content itself if it has another form. */
export function contentLines(content: string): string[] {
  const text = plainContent(content)
    ?.replaceAll(BEGIN, "$" + "{")
    .replaceAll(END, "}");
  return text?.replace(/\n$/, "").split("\n") ?? [content];
}

/** The elements of a list in Terraform's language. */
function splitList(code: string): string[] {
  const elements = [""];
  let depth = 0;
  for (const [token] of code.matchAll(/"(?:[^"\\]|\\.)*"|./gs)) {
    if (/^[([{]$/.test(token)) depth += 1;
    if (/^[)\]}]$/.test(token)) depth -= 1;
    if (depth === 0 && token === ",") elements.push("");
    else elements.push(`${elements.pop()}${token}`);
  }
  return elements.map((each) => each.trim());
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\" };

/** The text of a literal in Terraform's language; undefined if it is not one literal, or has a template or a mark. */
function literalText(code: string): string | undefined {
  const [, text] = /^"((?:[^"\\]|\\[nrt"\\])*)"$/s.exec(code) ?? [];
  if (text === undefined || /[$%]\{|[\uE000\uE001]/.test(text.replaceAll(/\$\$\{|%%\{/g, ""))) return undefined;
  return text
    .replaceAll(/([$%])\1\{/g, "$1{")
    .replaceAll(/\\(.)/gs, (_escape, character: string) => ESCAPES[character] ?? "");
}

/** The formats of values that differ between clusters. */
const VALUES = {
  address: String.raw`\d{1,3}(?:\.\d{1,3}){3}`,
  cidr: String.raw`\d{1,3}(?:\.\d{1,3}){3}/\d{1,2}`,
  name: "[A-Za-z0-9-]+",
  version: String.raw`\d+\.\d+\.\d+(?:@sha256:[0-9a-f]{64})?`,
  url: String.raw`https?://[A-Za-z0-9._:\[\]/-]+`,
} as const;

/** A place in an expected text for a value that differs between clusters. */
export function anyValue(format: keyof typeof VALUES): string {
  return `\${@${format}}`;
}

/** A place in an expected text for an expression. Its references have names of this project, `tls_private_key.admin-private-key`. */
export function anExpression(code: string): string {
  return `\${@=${code}}`;
}

/** A place in an expected text. A script may have other parameters that begin with `@`, such as `${@:2}`. */
const PLACE = new RegExp(String.raw`(\$\{@(?:=[^}]+|${Object.keys(VALUES).join("|")})\})`);
const REFERENCE = /(\w+\.[\w-]+\.\w+)/;

/**
 * Whether a text of {@link plainContent} is an expected one.
 * @param isNamed - whether a resource has the name `name` in the same cluster
 */
export function isContent(
  text: string,
  expected: string,
  isNamed: (resource: string, name: string) => boolean,
): boolean {
  const names: string[] = [];
  const pattern = expected.split(PLACE).map((part) => {
    const [, isCode, body = ""] = /^\$\{@(=?)([^}]+)\}$/.exec(part) ?? [];
    if (isCode === undefined) return escaped(part);
    if (isCode === "") return VALUES[body as keyof typeof VALUES];
    const code = body.split(REFERENCE).map((each) => {
      const [, type, name, attribute] = /^(\w+)\.([\w-]+)\.(\w+)$/.exec(each) ?? [];
      if (name === undefined) return escaped(each);
      names.push(name);
      return String.raw`${type}\.([\w-]+)\.${attribute}`;
    });
    return `${BEGIN}${code.join("")}${END}`;
  });
  const found = new RegExp(`^${pattern.join("")}$`).exec(text);
  return found !== null && names.every((name, index) => isNamed(found[index + 1] as string, name));
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
