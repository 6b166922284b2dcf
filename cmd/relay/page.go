package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

// pages is the web viewer's files, in memory. Nothing else of the file system can be asked for.
type pages struct{ files map[string]page }

type page struct {
	body                       []byte
	contentType, etag, caching string
}

// hashed is a file name that changes with its content, as esbuild makes them.
var hashed = regexp.MustCompile(`-[0-9A-Z]{8}\.[a-z]+$`)

func newPages(files fs.FS) (*pages, error) {
	p := &pages{make(map[string]page)}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		f := page{body: body, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, caching: "no-cache", contentType: mime.TypeByExtension(path.Ext(name))}
		switch {
		case strings.HasSuffix(name, ".html"):
			f.caching, f.contentType = "no-store", "text/html; charset=utf-8"
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
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.caching)
	if f.caching != "no-store" {
		h.Set("ETag", f.etag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// policy lets the page run its own code, and no other's, and connect to the relays of the cameras it is paired with.
const policy = "default-src 'self'; connect-src 'self' ws: wss:; worker-src 'self' blob:; img-src 'self' blob: data:; media-src 'self' blob:; " +
	"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// withHeaders sets what a browser shall hold every answer to. Nothing is stored unless a handler says so.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
