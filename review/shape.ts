import { z } from "zod";
import { printable } from "../model/printable";
import { UserError } from "../model/user-error";
import { isObject } from "./arguments";

/** Terraform takes a block as an object, or as a list of objects. */
const block = z.custom((value) => [value].flat().every(isObject), "an object");

/** `ignore_changes` is a list, or `all`. */
const resource = block.refine((value) => {
  const blocks = [value].flat().flatMap((each) => (isObject(each) ? each.lifecycle : []));
  return blocks.flat().every((lifecycle) => {
    const ignored = isObject(lifecycle) ? (lifecycle.ignore_changes ?? []) : [];
    return Array.isArray(ignored) || ignored === "all";
  });
}, "a resource whose `ignore_changes` is a list or `all`");

/** The sections that a comparison reads one by one. Other sections may have any shape. */
const documentSchema = z.looseObject({
  resource: z.record(z.string(), z.record(z.string(), resource, "an object"), "an object").optional(),
  data: z.record(z.string(), z.record(z.string(), block, "an object"), "an object").optional(),
  output: z.record(z.string(), z.looseObject({}, "an object"), "an object").optional(),
});

/** @throws UserError on a document that Terraform refuses too, because a section, block or list has another shape */
export function checkShape(document: unknown): void {
  const [issue] = documentSchema.safeParse(document).error?.issues ?? [];
  if (issue === undefined) return;
  const got = issue.path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown>)[key], document);
  const name = printable(issue.path.join("."));
  throw new UserError(`the document's '${name}' must be ${issue.message}, got: ${JSON.stringify(got).slice(0, 80)}`);
}
