import { z } from "zod";
import { ENCRYPTION_KEY } from "./stack";
import { readYaml } from "./yaml";

/** What an encryption config must say: that secrets are encrypted, with keys of 32 bytes, and others are still read. */
const ENCRYPTION_CONFIG = z.strictObject({
  apiVersion: z.literal("apiserver.config.k8s.io/v1"),
  kind: z.literal("EncryptionConfiguration"),
  resources: z.tuple([
    z.strictObject({
      resources: z.array(z.string()).refine((names) => names.includes("secrets"), "must hold secrets"),
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
 * Whether a text may have a key that another has not: what was encrypted with it would be lost. Anything that looks like
 * a key counts, in whatever way YAML lets it be written, in a comment too.
 */
export function hasOtherKeys(text: string, other: string): boolean {
  return (text.match(/[A-Za-z0-9+/]{20,}=*/g) ?? []).some((key) => !other.includes(key));
}
