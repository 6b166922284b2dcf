package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// secrets says whether the relay's secret files are kept from others.
func (o Operator) secrets() Finding {
	f := Finding{Check: "secrets", Verdict: OK, Value: "0", Text: "the relay keeps none in files"}
	if runtime.GOOS == "windows" {
		f.Verdict, f.Value, f.Text = Unknown, "", "file modes mean nothing on this system: see to it that nobody else can read the state folder"
		return f
	}
	var open []string
	seen := 0
	for _, path := range o.Secrets {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			f.Verdict, f.Value, f.Text = Unknown, "", "some cannot be looked at: run this as the relay's user"
			return f
		case info.Mode().Perm()&0o077 != 0:
			open = append(open, filepath.Base(path))
			fallthrough
		default:
			seen++
		}
	}
	f.Value = fmt.Sprint(len(open))
	switch {
	case len(open) > 0:
		f.Verdict = Bad
		f.Text = fmt.Sprintf("others can read or change %s: run chmod go= on it, and ask who could", strings.Join(open, ", "))
	case seen > 0:
		f.Text = "nobody but their owner can read them"
	}
	return f
}

// readChain reads the certificates of a PEM file.
func readChain(path string) (chain []*x509.Certificate, err error) {
	text, err := os.ReadFile(path)
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
