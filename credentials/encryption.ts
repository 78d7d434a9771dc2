import { z } from "zod";
import { ENCRYPTION_KEY } from "./stack";
import { readYaml } from "./yaml";

/** What an encryption config must say: that secrets are encrypted, with keys of 32 bytes, and others are still read. */
const ENCRYPTION_CONFIG = z.strictObject({
  apiVersion: z.literal("apiserver.config.k8s.io/v1"),
  kind: z.literal("EncryptionConfiguration"),
  resources: z.tuple([
    z.strictObject({
      resources: z
        .array(z.string().regex(/^[a-z][a-z0-9.-]*$/, "must be a resource's name"))
        .refine((names) => names.includes("secrets"), "must hold secrets")
        .refine((names) => new Set(names).size === names.length, "must name each resource once"),
      providers: z.tuple([
        z.strictObject({
          aescbc: z.strictObject({
            keys: z.array(z.strictObject({ name: z.string().min(1), secret: ENCRYPTION_KEY })).min(1),
          }),
        }),
        z.strictObject({ identity: z.strictObject({}) }),
      ]),
    }),
  ]),
});

/** What is wrong with an encryption config. API servers refuse what they do not know. */
export function encryptionFaults(text: string): string[] {
  return readYaml(ENCRYPTION_CONFIG, text).faults;
}

/**
 * Whether a text may have a key, or a name of one, that another has not: what was encrypted with it could not be read. What is
 * not of the one known shape may; and anything that looks like a key counts, in a comment too.
 */
export function hasOtherKeys(text: string, other: string): boolean {
  if (text.trim() === "") return false;
  const [own, others] = [keysOf(text), keysOf(other)];
  return (
    own === undefined ||
    own.some((key) => !others?.includes(key)) ||
    (text.match(/[A-Za-z0-9+/]{20,}=*/g) ?? []).some((key) => !other.includes(key))
  );
}

/** Names and keys; nothing where the text is of another shape. */
function keysOf(text: string): string[] | undefined {
  const { config } = readYaml(ENCRYPTION_CONFIG, text);
  return config?.resources[0].providers[0].aescbc.keys.map(({ name, secret }) => `${name} ${secret}`);
}
