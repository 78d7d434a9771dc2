import { Resource } from "@cdktf/provider-null/lib/resource";
import { Fn } from "cdktf";
import { Construct } from "constructs";
import { type Limit, mustBe } from "../model/formats";
import { NODE_USER } from "../model/names";
import { assertLiteral } from "./assertions";
import type { ClusterNode } from "./node-fleet";
import type { SshKey } from "./ssh-key";

/** A file to put onto a machine. */
export interface PemFile {
  /** Its name, without a folder. */
  readonly name: string;
  /** Its content. */
  readonly content: string;
  /** Whether it is a private key, or holds one: then it has mode 0600, else 0644. */
  readonly secret: boolean;
  /**
   * Of a secret: what may be seen of it and changes with it, so that a copy follows. No secret is in a plan.
   * @default - nothing: a private key changes with its certificate, a file of its own
   */
  readonly version?: string;
}

/** What a {@link PemDistribution} needs to know. */
export interface PemDistributionProps {
  /** The machine to copy to, at its public address. */
  readonly node: ClusterNode;
  /** The key that opens it. */
  readonly sshKey: SshKey;
  /** What it gets; a private key only together with its certificate, or with a version. */
  readonly files: readonly PemFile[];
  /** How long one connection may take to come about, as Terraform writes durations. @default "5m" */
  readonly connectionTimeout?: string;
}

/** One file name, safe in a shell without quotes. */
const FILE_NAME: Limit = {
  allowed: "a file name of letters, digits, dots, underscores and hyphens that begins with a letter or digit",
  pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
};

const HOME = `/home/${NODE_USER}`;
const STAGING = `${HOME}/.pem-staging`;

/**
 * The copies of PEM files into the home of `ubuntu` on one machine, over ssh: into a staging folder that nobody else
 * can enter (the file provisioner writes mode 0644), then with owner and final mode into place. Redone whole when the
 * machine was replaced, a certificate changed, or a copy before it failed.
 *
 * @throws Error on a file name that is not plain, or given twice
 */
export class PemDistribution extends Construct {
  constructor(scope: Construct, id: string, props: PemDistributionProps) {
    super(scope, id);
    const { node, sshKey, files } = props;
    files.forEach(({ name }, index) => {
      assertLiteral(`files[${index}].name`, FILE_NAME, name);
      if (files.findIndex((file) => file.name === name) < index) {
        throw new Error(mustBe(`files[${index}].name`, "different from the names before it", name));
      }
    });

    new Resource(this, `pems-${node.id}`, {
      triggers: {
        machine: node.instance.id,
        // No hash of a secret in a plan: a private key never changes without its certificate.
        files: Fn.sha256(
          Fn.join(
            "\n",
            files.flatMap((file) => {
              const version = file.secret ? file.version : file.content;
              return [`${mode(file)} ${HOME}/${file.name}`, ...(version === undefined ? [] : [version])];
            }),
          ),
        ),
      },
      connection: {
        type: "ssh",
        user: NODE_USER,
        host: node.publicIp,
        privateKey: sshKey.privateKeyPem,
        // An agent with many keys is refused before it comes to ours.
        agent: "false",
        timeout: props.connectionTimeout ?? "5m",
      },
      // A script of remote-exec lies in a world-readable file while it runs: nothing secret stands in it.
      provisioners: [
        { type: "remote-exec", inline: ["set -eu", `rm -rf ${STAGING}`, `install -d -m 0700 ${STAGING}`] },
        ...files.map(({ name, content }) => ({
          type: "file" as const,
          content,
          destination: `${STAGING}/${name}`,
        })),
        {
          type: "remote-exec",
          inline: [
            "set -eu",
            ...files.map((file) => `install -m ${mode(file)} ${STAGING}/${file.name} ${HOME}/${file.name}`),
            `rm -rf ${STAGING}`,
          ],
        },
      ],
    });
  }
}

function mode(file: PemFile): string {
  return file.secret ? "0600" : "0644";
}
