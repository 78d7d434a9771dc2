import { parse } from "yaml";
import type { z } from "zod";

/** Reads a YAML document of a known shape. @returns the document, or its problems */
export function readYaml<T>(shape: z.ZodType<T>, text: string): { readonly config?: T; readonly problems: string[] } {
  let document: unknown;
  try {
    // Kubernetes reads YAML 1.1, in which yes is a boolean, not a string.
    document = parse(text, { version: "1.1" });
  } catch {
    return { problems: ["is not YAML"] };
  }
  if (document === null) return { problems: ["is empty"] };
  const { data, error } = shape.safeParse(document);
  const problems = (error?.issues ?? []).map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  return data === undefined ? { problems } : { config: data, problems };
}
