package pages

import (
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"

	"authferry/internal/protocol"
)

// The texts of the pages are data: texts/LANGUAGE.toml, and
// texts/connect.LANGUAGE.toml for connecting mailboxes. A text's key is the name of
// its table, a dot and its name there. {name} in a text stands for a value. A table
// of one, few, many and other holds one text in the plural forms of the language,
// where {n} is the number: https://www.unicode.org/cldr/charts/latest/supplemental/language_plural_rules.html
//
//go:embed texts/*.toml
var textFiles embed.FS

// English is the language of texts that another one lacks.
const English = "en"

// languages are the languages of the texts, each with its own name for itself.
var languages = []struct{ Code, Name string }{
	{English, "English"}, {"de", "Deutsch"}, {"pl", "Polski"}, {"ro", "Română"},
}

// text holds one text in its plural forms; a text without has "other" alone.
type text map[string]string

// texts holds all texts by language and key.
var texts = sync.OnceValue(func() map[string]map[string]text {
	all, err := readTexts(textFiles)
	if err != nil {
		panic(err) // the files are built in, and tests read them
	}
	return all
})

func readTexts(files fs.FS) (map[string]map[string]text, error) {
	all := map[string]map[string]text{}
	paths, err := fs.Glob(files, "texts/*.toml")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, err
		}
		var tables map[string]any
		if err := toml.Unmarshal(content, &tables); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		name := strings.TrimSuffix(path, ".toml")
		language := name[strings.LastIndexAny(name, "/.")+1:]
		if all[language] == nil {
			all[language] = map[string]text{}
		}
		if err := gather(all[language], "", tables); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return all, nil
}

// gather reads a table and the tables in it.
func gather(into map[string]text, prefix string, table map[string]any) error {
	for name, value := range table {
		key := prefix + name
		if _, twice := into[key]; twice {
			return fmt.Errorf("%s is defined twice", key)
		}
		switch value := value.(type) {
		case string:
			into[key] = text{"other": value}
		case map[string]any:
			if _, plural := value["other"]; !plural {
				if err := gather(into, key+".", value); err != nil {
					return err
				}
				continue
			}
			forms := text{}
			for form, words := range value {
				s, ok := words.(string)
				if !ok {
					return fmt.Errorf("%s.%s is not a text", key, form)
				}
				forms[form] = s
			}
			into[key] = forms
		default:
			return fmt.Errorf("%s is not a text", key)
		}
	}
	return nil
}

// pluralForms lists the forms of each language for whole numbers, and says which
// form a number takes.
var pluralForms = map[string]struct {
	forms []string
	of    func(n int) string
}{
	English: {[]string{"one", "other"}, oneOrOther},
	"de":    {[]string{"one", "other"}, oneOrOther},
	"pl": {[]string{"one", "few", "many", "other"}, func(n int) string {
		switch {
		case n == 1:
			return "one"
		case n%10 >= 2 && n%10 <= 4 && (n%100 < 12 || n%100 > 14):
			return "few"
		}
		return "many" // "other" is for fractions
	}},
	"ro": {[]string{"one", "few", "other"}, func(n int) string {
		switch {
		case n == 1:
			return "one"
		case n == 0 || n%100 >= 1 && n%100 <= 19:
			return "few"
		}
		return "other"
	}},
}

func oneOrOther(n int) string {
	if n == 1 {
		return "one"
	}
	return "other"
}

// Printer says things in one language. Templates and handlers use it through
// their request.
type Printer struct {
	Language string
	Now      func() time.Time
}

// T returns a text; pairs are names and values for its placeholders.
func (p Printer) T(key string, pairs ...any) string { return say(p.Language, key, "other", pairs) }

// N returns a text about n things.
func (p Printer) N(key string, n int, pairs ...any) string {
	return say(p.Language, key, pluralForms[p.Language].of(max(n, -n)), append([]any{"n", n}, pairs...))
}

// Say is T of a text whose values come together with its key.
func (p Printer) Say(key string, pairs []any) string { return p.T(key, pairs...) }

// Languages returns the languages to choose from.
func (p Printer) Languages() []struct{ Code, Name string } { return languages }

// When returns a point in time; the script converts it to the browser's time zone.
func (p Printer) When(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format("2006-01-02 15:04") + ` UTC</time>`)
}

// Ago returns how long ago a time was, in its largest unit.
func (p Printer) Ago(t time.Time) string {
	d := p.Now().Sub(t)
	if d < time.Minute {
		return p.T("time.now")
	}
	return p.T("time.ago", "span", p.Span(d))
}

// Until returns how far off a time is.
func (p Printer) Until(t time.Time) string { return p.Span(t.Sub(p.Now())) }

// Span returns a duration in its largest unit.
func (p Printer) Span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Hour:
		return p.N("time.minutes", max(1, int(d.Minutes())))
	case d < 48*time.Hour:
		return p.N("time.hours", int(d.Hours()))
	}
	return p.N("time.days", int(d.Hours())/24)
}

// Hours returns a number of hours in words.
func (p Printer) Hours(n int) string { return p.Span(time.Duration(n) * time.Hour) }

// Protocol returns the name of a protocol as people write it.
func (p Printer) Protocol(name protocol.Protocol) string { return name.Upper() }

// Known reports whether there is a text of a key.
func Known(key string) bool { _, ok := texts()[English][key]; return ok }

// say returns a text. A missing one is its key; tests check that none is missing.
func say(language, key, form string, pairs []any) string {
	t, ok := texts()[language][key]
	if !ok {
		t, ok = texts()[English][key]
	}
	if !ok {
		return key
	}
	words, ok := t[form]
	if !ok {
		words = t["other"]
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		words = strings.ReplaceAll(words, "{"+fmt.Sprint(pairs[i])+"}", fmt.Sprint(pairs[i+1]))
	}
	return words
}

// LanguageCookie holds the language that the person chose.
const LanguageCookie = "authferry-language"

// LanguageOf returns the language for a browser: the one chosen here, or the best
// of those it asks for that there are texts in.
func LanguageOf(r *http.Request) string {
	if c, err := r.Cookie(LanguageCookie); err == nil && IsLanguage(c.Value) {
		return c.Value
	}
	best, weight := English, 0.0
	for _, item := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		name, parameter, _ := strings.Cut(item, ";")
		name, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(name)), "-")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			q, _ = strconv.ParseFloat(value, 64) // an invalid weight is 0: not at all
		}
		if IsLanguage(name) && q > weight {
			best, weight = name, q
		}
	}
	return best
}

// IsLanguage reports whether there are texts in a language.
func IsLanguage(code string) bool {
	return slices.ContainsFunc(languages, func(l struct{ Code, Name string }) bool { return l.Code == code })
}
