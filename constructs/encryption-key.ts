import { PrivateKey } from "@cdktf/provider-tls/lib/private-key";
import { Fn } from "cdktf";
import { Construct } from "constructs";
import { ENCRYPTION_KEY_DIGITS, encryptionKeyName } from "../model/names";

/**
 * The key with which API servers encrypt secrets in etcd. It is derived from a private key in Terraform's state that has no
 * other use. So everybody who may read the state has the same key.
 */
export class EncryptionKey extends Construct {
  /** 32 bytes in base64; a secret. */
  readonly base64: string;
  /** The key's name: `key-` and eight digits of the key's SHA-256. API servers find the key for encrypted data by it. */
  readonly name: string;
  /** The public half of the private key from which the key is derived. Not secret. */
  readonly publicKeyPem: string;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    // ED25519 is the provider's key type with 256 bits of entropy. `random_bytes` would need another provider.
    const key = new PrivateKey(this, "encryption-key", { algorithm: "ED25519" });
    this.publicKeyPem = key.publicKeyPem;
    this.base64 = Fn.base64sha256(key.privateKeyPem);
    this.name = encryptionKeyName(Fn.substr(Fn.sha256(this.base64), 0, ENCRYPTION_KEY_DIGITS));
  }
}
