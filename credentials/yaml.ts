import { parse } from "yaml";
import type { z } from "zod";

/** Reads a document of a known shape. @returns it, or what is wrong with it */
export function readYaml<T>(shape: z.ZodType<T>, text: string): { readonly config?: T; readonly faults: string[] } {
  let document: unknown;
  try {
    // As Kubernetes reads it: to which yes is no text.
    document = parse(text, { version: "1.1" });
  } catch {
    return { faults: ["is no YAML"] };
  }
  if (document === null) return { faults: ["is empty"] };
  const { data, error } = shape.safeParse(document);
  const faults = (error?.issues ?? []).map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  return data === undefined ? { faults } : { config: data, faults };
}
