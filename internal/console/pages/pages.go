// Package pages holds what the web console shows: the templates of its pages, its
// style sheets and scripts, and its texts in every language.
package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
)

// layout.html surrounds every page, and parts.html holds what several pages share.
// Each other file is a page.
//
//go:embed *.html
var pageFiles embed.FS

//go:embed static/*
var staticFiles embed.FS

// Template returns the template of the page NAME.html, or nil. Its entry is
// "layout".
func Template(name string) *template.Template { return templates()[name] }

var templates = sync.OnceValue(func() map[string]*template.Template {
	all, err := readPages(pageFiles)
	if err != nil {
		panic(err) // the files are built in, and tests read them
	}
	return all
})

func readPages(files fs.FS) (map[string]*template.Template, error) {
	const layout, parts = "layout.html", "parts.html"
	frame, err := template.New("").Funcs(template.FuncMap{"static": StaticPath}).ParseFS(files, layout, parts)
	if err != nil {
		return nil, err
	}
	paths, err := fs.Glob(files, "*.html")
	if err != nil {
		return nil, err
	}
	all := map[string]*template.Template{}
	for _, file := range paths {
		if file == layout || file == parts {
			continue
		}
		page, err := frame.Clone()
		if err != nil {
			return nil, err
		}
		if _, err := page.ParseFS(files, file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all[strings.TrimSuffix(file, ".html")] = page
	}
	return all, nil
}

// digests identify the versions of the static files.
var digests = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(err) // built in
	}
	for _, e := range entries {
		content, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		all[e.Name()] = hex.EncodeToString(sum[:6])
	}
	return all
})

// StaticPath returns the URL of a static file. It names the file's version, so
// that browsers can cache it until it changes.
func StaticPath(file string) string { return "/static/" + file + "?v=" + digests()[file] }

// ServeStatic answers GET /static/{file}.
func ServeStatic(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	content, err := staticFiles.ReadFile("static/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if r.URL.Query().Get("v") == digests()[name] {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(content) // fails if the client has gone
}
