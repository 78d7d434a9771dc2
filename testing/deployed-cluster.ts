import { createHash } from "node:crypto";
import type { TerraformJson } from "../cloud/terraform-json";
import type { DeployedCluster } from "../credentials/stack";
import { type Computed, resolveReferences } from "./tls-resources";

/** The outputs of a stack, computed from its JSON and the attributes of its resources. */
export function outputsOf(json: TerraformJson, computed: Computed): Record<string, unknown> {
  const value = (name: string) => resolveReferences(json.output[name]?.value, computed);
  // Only this output uses a Terraform function, base64sha256. Other tests check it with real Terraform.
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

/** The outputs in the form in which `readStack` returns them. */
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
