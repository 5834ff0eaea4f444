package importer

import (
	"fmt"
	"slices"
	"strings"
)

// ini is a file of Python's configparser, without interpolation:
// https://docs.python.org/3/library/configparser.html#supported-ini-file-structure
type ini struct {
	names    []string // of the sections, in order
	sections map[string]map[string]string
	defaults map[string]string // [DEFAULT], for keys that a section lacks
}

// readINI parses a file. Errors name lines and never quote them: some hold secrets.
func readINI(content []byte) (*ini, error) {
	f := &ini{sections: map[string]map[string]string{}, defaults: map[string]string{}}
	r := iniReader{file: f}
	text := strings.TrimPrefix(string(content), "\ufeff")
	for line := range strings.Lines(text) {
		r.number++
		if err := r.line(strings.TrimRight(line, "\r\n")); err != nil {
			return nil, err
		}
	}
	r.endOption()
	return f, nil
}

type iniReader struct {
	file    *ini
	number  int
	section map[string]string
	option  string // being read; empty: none
	value   []string
	indent  int // of the line that the option begins on
}

func (r *iniReader) line(line string) error {
	text := strings.TrimSpace(line)
	switch {
	case text == "":
		if r.option != "" {
			r.value = append(r.value, "")
		}
		return nil
	case text[0] == '#' || text[0] == ';':
		return nil
	}
	indent := len(line) - len(strings.TrimLeft(line, " \t\v\f"))
	if r.option != "" && indent > r.indent {
		r.value = append(r.value, text)
		return nil
	}
	r.endOption()
	r.indent = indent
	if end := strings.LastIndexByte(text, ']'); text[0] == '[' && end > 1 {
		return r.begin(text[1:end])
	}
	i := strings.IndexAny(text, "=:")
	if i < 1 || r.section == nil {
		return fmt.Errorf("line %d is neither a [section] nor a key with its value", r.number)
	}
	name := strings.ToLower(strings.TrimSpace(text[:i]))
	if _, twice := r.section[name]; twice || name == "" {
		return fmt.Errorf("line %d has a key that its section has already: keep one of the two", r.number)
	}
	r.option, r.value = name, []string{strings.TrimSpace(text[i+1:])}
	return nil
}

func (r *iniReader) begin(name string) error {
	if name == "DEFAULT" {
		r.section = r.file.defaults
		return nil
	}
	if r.file.sections[name] != nil {
		return fmt.Errorf("line %d begins a section that is there already: keep one of the two", r.number)
	}
	r.section = map[string]string{}
	r.file.sections[name] = r.section
	r.file.names = append(r.file.names, name)
	return nil
}

func (r *iniReader) endOption() {
	if r.option != "" {
		r.section[r.option] = strings.TrimRight(strings.Join(r.value, "\n"), "\n")
	}
	r.option, r.value = "", nil
}

// get returns the first value of a key in the given sections.
func (f *ini) get(key string, sections ...string) string {
	for _, s := range sections {
		if v, ok := f.sections[s][key]; ok {
			return v
		}
	}
	if slices.ContainsFunc(sections, func(s string) bool { return f.sections[s] != nil }) {
		return f.defaults[key]
	}
	return ""
}

// flag returns a value as Python's getboolean reads it.
func (f *ini) flag(key string, sections ...string) bool {
	return slices.Contains([]string{"1", "yes", "true", "on"}, strings.ToLower(f.get(key, sections...)))
}
