import { createPrivateKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import { FILE_NAMES, MAX_FILE_NAME } from "../model/layout";

/** A name of a cluster, machine or file. Paths and scripts contain it, so it has no special characters. */
const PLAIN_NAME = z.string().regex(/^\w[\w.-]*$/, "must be a plain name");

/** A name of at most `length` characters, each of one byte. */
function nameUpTo(length: number) {
  return PLAIN_NAME.max(length, `must be a name of at most ${length} characters`);
}

/** A name of a cluster or machine. File names contain it: the longest is that of the kubeconfig. */
export const NAME = nameUpTo(MAX_FILE_NAME - FILE_NAMES.kubeconfig("").length);

/** The load balancer's name, which kubeconfigs contain. */
export const HOST = z
  .string()
  .regex(
    /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i,
    "must be a host name",
  );

/** An address of the cluster. */
export const ADDRESS = z.ipv4("must be an IPv4 address");

/** The machines' addresses by Name tag. A stopped machine has no public address. */
export const NODES = z.record(NAME, z.object({ private_ip: ADDRESS, public_ip: ADDRESS.or(z.literal("")) }));

/** A key for secrets in etcd. */
export const ENCRYPTION_KEY = z.string().regex(/^[A-Za-z0-9+/]{43}=$/, "must be 32 bytes in base64");

/** Text of one PEM block, with nothing before or after it, that a function can read. */
function pem(type: string, noun: string, read: (text: string) => unknown) {
  const block = new RegExp(`^-----BEGIN (${type})-----\\n([A-Za-z0-9+/=]+\\n)+-----END \\1-----\\n?$`);
  const isReadable = (text: string) => {
    try {
      read(text);
      return true;
    } catch {
      return false;
    }
  };
  return z.string().refine((text) => block.test(text) && isReadable(text), `must be one ${noun} in PEM`);
}

const KEY = pem("(?:RSA |EC )?PRIVATE KEY", "private key", createPrivateKey);

const CERTIFICATE = pem("CERTIFICATE", "certificate", (text) => new X509Certificate(text));

/** Keys and certificates by file name. The name tells which of both a file is. */
const PEM_FILES = z
  .record(nameUpTo(MAX_FILE_NAME).regex(/\.pem$/, "must end in .pem"), z.string())
  .superRefine((files, { addIssue }) => {
    for (const [file, text] of Object.entries(files)) {
      const { error } = (file.endsWith(FILE_NAMES.key("")) ? KEY : CERTIFICATE).safeParse(text);
      for (const { message } of error?.issues ?? []) addIssue({ code: "custom", path: [file], message });
    }
  });

/** The outputs of the stack that are needed. */
export const OUTPUTS = z.object({
  kubernetes_public_address: HOST,
  kubernetes_service_address: ADDRESS,
  nodes: NODES,
  ssh_private_key: KEY,
  pem_files: PEM_FILES,
  encryption_key: ENCRYPTION_KEY,
});
