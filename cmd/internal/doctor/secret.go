package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// checkSecrets tells whether others can read the relay's secret files.
func (o Operator) checkSecrets() Finding { return o.secretsOn(runtime.GOOS) }

func (o Operator) secretsOn(system string) Finding {
	f := Finding{Check: "secrets"}
	if system == "windows" {
		return f.conclude(Unknown, "",
			"file modes mean nothing on this system: make sure that nobody else can read the state folder")
	}

	var open []string
	seen := 0
	for _, path := range o.Secrets {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return f.conclude(Unknown, "", "some files cannot be checked: run this as the relay's user")
		case info.Mode().Perm()&0o077 != 0:
			open = append(open, filepath.Base(path))
		}
		seen++
	}

	value := fmt.Sprint(len(open))
	switch {
	case len(open) > 0:
		return f.conclude(Bad, value, fmt.Sprintf("others can read or change %s: run chmod go= on it, "+
			"and ask who may have read it", strings.Join(open, ", ")))
	case seen > 0:
		return f.conclude(OK, value, "only their owner can read them")
	}
	return f.conclude(OK, value, "the relay keeps none in files")
}

// maxChain bounds a certificate chain, in bytes, as the relay does.
const maxChain = 1 << 20

// readChain reads the certificates of a PEM file.
func readChain(path string) (chain []*x509.Certificate, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	defer f.Close()

	text, err := io.ReadAll(io.LimitReader(f, maxChain))
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		chain = append(chain, c)
	}

	return chain, nil
}
