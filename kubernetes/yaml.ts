import { printable } from "../model/printable";

/** A certificate or key, PEM in base64; a key of 32 bytes in base64; the name of such a key; the URL of an API server. */
const PLAIN = /^(LS0tLS1CRUdJTi[A-Za-z0-9+/]*=*|[A-Za-z0-9+/]{43}=|key-[0-9a-f]+|https:\/\/[A-Za-z0-9.-]+:\d+)$/;

/** One line with a Terraform expression. */
const EXPRESSION = /^.*\$\{.*$/;

/**
 * A text in YAML, in quotes: YAML reads names such as 2024 or no as a number or a boolean. No character of the text can end
 * it, or begin another line.
 */
export function quoted(text: string): string {
  return printable(JSON.stringify(text));
}

/**
 * A value in YAML. Values of the usual formats are without quotes, as `kubectl config` writes them; so are Terraform
 * expressions, which Terraform replaces by such values. Every other text is {@link quoted}.
 */
export function value(text: string): string {
  return PLAIN.test(text) || EXPRESSION.test(text) ? text : quoted(text);
}
