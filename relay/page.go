package relay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// pages serves the web viewer's files from memory. No request reaches the file system.
type pages struct {
	relay  string          // the relay's public URL, to which the page may connect
	others func() []string // the URLs of the operator's other regions, to which it may, too
	files  map[string]page
	charge func(client netip.Addr, work int64) bool
}

type page struct {
	body                       []byte
	contentType, etag, caching string
	document                   bool
}

// hashed matches the name that esbuild gives a file and that changes with its content.
var hashed = regexp.MustCompile(`-[0-9A-Z]{8}\.[a-z]+$`)

func newPages(
	files fs.FS, relay string, others func() []string, charge func(client netip.Addr, work int64) bool,
) (*pages, error) {
	p := &pages{relay: relay, others: others, files: make(map[string]page), charge: charge}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}

		sum := sha256.Sum256(body)
		f := page{
			body:        body,
			etag:        `"` + hex.EncodeToString(sum[:12]) + `"`,
			caching:     "no-cache",
			contentType: mime.TypeByExtension(path.Ext(name)),
		}

		switch {
		case strings.HasSuffix(name, ".html"):
			f.caching, f.contentType, f.document = "no-store", "text/html; charset=utf-8", true
		case strings.HasSuffix(name, ".js"):
			f.contentType = "text/javascript; charset=utf-8" // whatever the machine's table of types says
		case f.contentType == "":
			f.contentType = "application/octet-stream"
		}

		if hashed.MatchString(name) {
			f.caching = "public, max-age=31536000, immutable"
		}
		p.files["/"+name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read web page: %w", err)
	}

	index, ok := p.files["/index.html"]
	if !ok {
		return nil, fmt.Errorf("read web page: no index.html: build it with make web")
	}
	p.files["/"], p.files["/pair"] = index, index
	return p, nil
}

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := p.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("If-None-Match") != f.etag && !affords(w, r, len(f.body), p.charge) {
		return
	}

	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.caching)
	if f.caching != "no-store" {
		h.Set("ETag", f.etag)
	}

	if f.document {
		relays := slices.Concat([]string{p.relay}, p.others(), otherRelays(r.URL))
		h.Set("Content-Security-Policy", pagePolicy(relays...))
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// affords charges a client for an answer of size bytes, beyond what each request costs. It reports whether the client
// could afford it; otherwise it has refused the request.
func affords(
	w http.ResponseWriter, r *http.Request, size int, charge func(client netip.Addr, work int64) bool,
) bool {
	work := int64(size) / workBytes
	client, _ := netip.ParseAddrPort(r.RemoteAddr) // set by the door
	if work == 0 || charge(client.Addr(), work) {
		return true
	}
	http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
	return false
}
