import { KeyPair } from "@cdktf/provider-aws/lib/key-pair";
import { PrivateKey } from "@cdktf/provider-tls/lib/private-key";
import { Fn } from "cdktf";
import { Construct } from "constructs";
import { LIMITS } from "../model/formats";
import { assertProp } from "./assertions";

/** What an {@link SshKey} needs to know. */
export interface SshKeyProps {
  /** The key pair's name in EC2. */
  readonly clusterName: string;
}

/**
 * The key pair that reaches the machines: RSA with 2048 bits, as EC2 makes them. Its private half is made when the
 * stack is applied and lives in Terraform's state alone.
 *
 * @throws Error on a name that AWS would refuse
 */
export class SshKey extends Construct {
  /** The private half, PKCS#1 in PEM; a secret. */
  readonly privateKeyPem: string;
  /** The pair as EC2 knows it. */
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
