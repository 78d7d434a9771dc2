/** An expression of Terraform without the texts in it: each quoted text is `""`. The expressions inside of texts follow it. */
export type Code = string;

/**
 * The expressions in a text that is a template of Terraform: `${...}` and `%{...}`, also inside of quoted texts. Code that ends
 * too early is returned as far as it goes.
 */
export function expressionsOf(template: string): Code[] {
  const codes: Code[] = [];
  /** Reads a text up to its quote, or to the end. Returns the place after it. */
  const readText = (start: number, isQuoted: boolean): number => {
    let at = start;
    while (at < template.length) {
      if (isQuoted && template[at] === '"') return at + 1;
      if (isQuoted && template[at] === "\\") at += 2;
      else if (/^(\$\$|%%)\{/.test(template.slice(at, at + 3))) at += 3;
      else if (/^[$%]\{/.test(template.slice(at, at + 2))) at = readCode(at + 2);
      else at += 1;
    }
    return at;
  };
  /** Reads code up to its last brace, or to the end. Returns the place after it. */
  const readCode = (start: number): number => {
    let [at, depth, code] = [start, 1, ""];
    while (at < template.length && depth > 0) {
      const character = template[at] as string;
      if (character === '"') {
        at = readText(at + 1, true);
        code += '""';
        continue;
      }
      if (character === "{") depth += 1;
      if (character === "}") depth -= 1;
      if (depth > 0) code += character;
      at += 1;
    }
    codes.push(code);
    return at;
  };
  readText(0, false);
  return codes;
}
