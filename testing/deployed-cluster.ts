import { createHash } from "node:crypto";
import type { TerraformJson } from "../cloud/terraform-json";
import type { DeployedCluster } from "../credentials/stack";
import { type Computed, resolveReferences } from "./tls-resources";

/** What the outputs of a stack would say, with the attributes that its resources would have. */
export function outputsOf(json: TerraformJson, computed: Computed): Record<string, unknown> {
  const value = (name: string) => resolveReferences(json.output[name]?.value, computed);
  // The one output that is a function of something: Terraform's own base64sha256 is tried with real Terraform.
  const [, text] = /^\$\{base64sha256\((tls_private_key\.[\w-]+)\.private_key_pem\)\}$/.exec(
    json.output.encryption_key?.value,
  ) as unknown as [string, string];
  const key = computed[text]?.private_key_pem as string;
  return {
    ...Object.fromEntries(
      Object.keys(json.output)
        .filter((name) => name !== "encryption_key")
        .map((name) => [name, value(name)]),
    ),
    encryption_key: createHash("sha256").update(key).digest("base64"),
  };
}

/** The same as who reads them has it. */
export function deployedCluster(name: string, outputs: Record<string, unknown>): DeployedCluster {
  return {
    name,
    publicAddress: outputs.kubernetes_public_address,
    serviceAddress: outputs.kubernetes_service_address,
    nodes: outputs.nodes,
    sshPrivateKey: outputs.ssh_private_key,
    pemFiles: outputs.pem_files,
    encryptionKey: outputs.encryption_key,
  } as DeployedCluster;
}
