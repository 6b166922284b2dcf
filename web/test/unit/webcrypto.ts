// Node 18 has WebCrypto, but not under the global name that browsers and later versions use.
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto as Crypto;
