package console

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

// pages/layout.html is around every page, pages/parts.html holds what several
// have; each other file is a page.
//
//go:embed pages/*.html
var pageFiles embed.FS

//go:embed static/*
var staticFiles embed.FS

// pages are the templates by the names of their files, without .html.
var pages = sync.OnceValue(func() map[string]*template.Template {
	all, err := readPages(pageFiles)
	if err != nil {
		panic(err) // they are built in, and tests read them
	}
	return all
})

func readPages(files fs.FS) (map[string]*template.Template, error) {
	const layout, parts = "pages/layout.html", "pages/parts.html"
	frame, err := template.New("").Funcs(template.FuncMap{"static": staticPath}).ParseFS(files, layout, parts)
	if err != nil {
		return nil, err
	}
	paths, err := fs.Glob(files, "pages/*.html")
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
		all[strings.TrimSuffix(path.Base(file), ".html")] = page
	}
	return all, nil
}

// digests name the versions of static files.
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

// staticPath is where a static file is, its version included: browsers keep it
// for as long as it is the same.
func staticPath(file string) string { return "/static/" + file + "?v=" + digests()[file] }

func serveStatic(w http.ResponseWriter, r *http.Request) {
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
	_, _ = w.Write(content) // whoever asked has gone if this fails
}
