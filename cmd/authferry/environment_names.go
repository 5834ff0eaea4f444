package main

import (
	"strconv"
	"strings"

	"authferry/tokens"
)

// addNamed adds to a table whose names are free to choose those that only the
// environment knows.
func (t *table) addNamed() {
	switch {
	case t.path == "provider.", t.path == "domain.":
		t.addNames(func(rest string) (string, any) {
			known := t.keys()
			if t.path == "provider." {
				for name := range tokens.Builtin() {
					known = append(known, name)
				}
			}
			best := ""
			for _, name := range known {
				if strings.HasPrefix(fold(rest), fold(name)+"_") && len(name) > len(best) {
					best = name
				}
			}
			if name, _, ok := strings.Cut(rest, "_"); best == "" && ok {
				best = strings.ToLower(name) // a new one has no _ in it
			}
			return best, map[string]any{}
		})
	case t.path == "alias.", strings.HasSuffix(t.path, ".auth_params."):
		t.addNames(func(rest string) (string, any) {
			name := strings.ToLower(strings.TrimSuffix(rest, asFile))
			for _, known := range t.keys() {
				if fold(known) == fold(name) {
					return known, nil
				}
			}
			return name, envText("")
		})
	}
}

func (t *table) addNames(name func(rest string) (string, any)) {
	if t.values == nil {
		t.values = map[string]any{}
	}
	prefix := fold(t.path)
	for key, v := range t.doc.environment {
		if !strings.HasPrefix(key, prefix) || len(key) == len(prefix) {
			continue
		}
		n, value := name(v.name[len(environmentPrefix)+len(prefix):])
		if _, there := t.values[n]; !there && n != "" {
			t.values[n] = value
		}
	}
}

// mostListed bounds what a number in the name of a variable can ask for.
const mostListed = 100

// listedInEnvironment is how many tables of a list variables are about, such as
// AUTHFERRY_LISTENER_0_URL.
func (t *table) listedInEnvironment(key string) (n int) {
	prefix := fold(t.path+key) + "_"
	for name := range t.doc.environment {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			number, _, _ := strings.Cut(rest, "_")
			if i, err := strconv.Atoi(number); err == nil && i < mostListed {
				n = max(n, i+1)
			}
		}
	}
	return n
}
