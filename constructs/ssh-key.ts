import { KeyPair } from "@cdktf/provider-aws/lib/key-pair";
import { PrivateKey } from "@cdktf/provider-tls/lib/private-key";
import { Fn } from "cdktf";
import { Construct } from "constructs";
import { LIMITS } from "../model/formats";
import { assertProp } from "./assertions";

/** Properties of an {@link SshKey}. */
export interface SshKeyProps {
  /** The name of the key pair in EC2. */
  readonly clusterName: string;
}

/**
 * The key pair that logs in to the machines: RSA with 2048 bits, as EC2 creates them. The apply creates the private half. It
 * is stored only in Terraform's state.
 *
 * @throws Error if AWS would refuse the name
 */
export class SshKey extends Construct {
  /** The private half, PKCS#1 in PEM; a secret. */
  readonly privateKeyPem: string;
  /** The key pair in EC2. */
  readonly keyPair: KeyPair;

  constructor(scope: Construct, id: string, props: SshKeyProps) {
    super(scope, id);
    assertProp("clusterName", LIMITS.clusterName, props.clusterName);

    const key = new PrivateKey(this, "ssh-key", { algorithm: "RSA", rsaBits: 2048 });
    this.privateKeyPem = key.privateKeyPem;
    this.keyPair = new KeyPair(this, "key-pair", {
      keyName: props.clusterName,
      publicKey: Fn.trimspace(key.publicKeyOpenssh),
    });
  }
}
