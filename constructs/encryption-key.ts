import { PrivateKey } from "@cdktf/provider-tls/lib/private-key";
import { Fn } from "cdktf";
import { Construct } from "constructs";

/**
 * The key with which API servers encrypt secrets in etcd. It lives in Terraform's state, derived from a private key that
 * serves nothing else, so that all who may read the state have the same one.
 */
export class EncryptionKey extends Construct {
  /** 32 bytes in base64; a secret. */
  readonly base64: string;
  /** Its name, `key-` and eight digits of its SHA-256: API servers find the key of what they read by it. */
  readonly name: string;
  /** What may be seen of it: the public half of the key that it is derived from. */
  readonly publicKeyPem: string;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    // Of the provider's keys the one whose entropy is 256 bits; a random_bytes would need another provider.
    const key = new PrivateKey(this, "encryption-key", { algorithm: "ED25519" });
    this.publicKeyPem = key.publicKeyPem;
    this.base64 = Fn.base64sha256(key.privateKeyPem);
    this.name = `key-${Fn.substr(Fn.sha256(this.base64), 0, 8)}`;
  }
}
