package pairing

import (
	"github.com/peephole-cam/peephole/crypto/identity"
	"github.com/peephole-cam/peephole/crypto/label"
	"github.com/peephole-cam/peephole/crypto/words"
)

// nameWords is how many words name a code or a device: enough to notice a mix-up. Three words are 33 bits, and a key
// with somebody else's words can be found in an afternoon: the words identify, but prove nothing.
const nameWords = 3

// Words returns the three words that the displayer shows beside the code, and the scanner before it sends anything.
// They come from the displayer's fingerprint and the relay URL, so that all codes of one camera at one relay have the
// same words. They reveal nothing about the secret.
func (c Code) Words() []string {
	h := label.Hash(label.CodeWords, c.Fingerprint[:], []byte(c.RelayURL))
	return words.From(h[:], nameWords)
}

// DeviceWords returns the three words by which the other end of a pairing names a device.
func DeviceWords(device identity.Fingerprint) []string {
	h := label.Hash(label.DeviceWords, device[:])
	return words.From(h[:], nameWords)
}
