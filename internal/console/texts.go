package console

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
)

// The texts of the pages are data: texts/LANGUAGE.toml, and texts/PART.LANGUAGE.toml
// for parts that keep theirs apart. A key is the table's name, a dot and the
// key's. {name} in a text stands for a value. A table of one, few, many and
// other is one text in its plural forms, as far as the language has them, where
// {n} is the number: https://www.unicode.org/cldr/charts/latest/supplemental/language_plural_rules.html
//
//go:embed texts/*.toml
var textFiles embed.FS

const english = "en"

// languages are those there are texts in, the fallback first, each with what
// its speakers call it.
var languages = []struct{ Code, Name string }{
	{english, "English"}, {"de", "Deutsch"}, {"pl", "Polski"}, {"ro", "Română"},
}

// Languages are those to choose from.
func (v *visit) Languages() []struct{ Code, Name string } { return languages }

// Language is the page's.
func (v *visit) Language() string { return v.language }

// text is one text in its plural forms; what has none is all "other".
type text map[string]string

// texts are all texts by language and key.
var texts = sync.OnceValue(func() map[string]map[string]text {
	all, err := readTexts(textFiles)
	if err != nil {
		panic(err) // they are built in, and tests read them
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

// gather reads a table and those in it.
func gather(into map[string]text, prefix string, table map[string]any) error {
	for name, value := range table {
		key := prefix + name
		if _, twice := into[key]; twice {
			return fmt.Errorf("%s is there twice", key)
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
					return fmt.Errorf("%s.%s is no text", key, form)
				}
				forms[form] = s
			}
			into[key] = forms
		default:
			return fmt.Errorf("%s is no text", key)
		}
	}
	return nil
}

// pluralForms are the forms each language has for whole numbers, and which of
// them a number takes.
var pluralForms = map[string]struct {
	forms []string
	of    func(n int) string
}{
	english: {[]string{"one", "other"}, oneOrOther},
	"de":    {[]string{"one", "other"}, oneOrOther},
	"pl": {[]string{"one", "few", "many", "other"}, func(n int) string {
		switch {
		case n == 1:
			return "one"
		case n%10 >= 2 && n%10 <= 4 && (n%100 < 12 || n%100 > 14):
			return "few"
		}
		return "many" // other is for fractions
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

// T is a text in the language of the page; pairs are names and values for its
// placeholders.
func (v *visit) T(key string, pairs ...any) string { return say(v.language, key, "other", pairs) }

// N is a text about a number of things.
func (v *visit) N(key string, n int, pairs ...any) string {
	return say(v.language, key, pluralForms[v.language].of(max(n, -n)), append([]any{"n", n}, pairs...))
}

// Has tells whether there is a text of a key.
func (v *visit) Has(key string) bool { _, ok := texts()[english][key]; return ok }

// say finds a text. One that is missing says its key, which tests do not let happen.
func say(language, key, form string, pairs []any) string {
	t, ok := texts()[language][key]
	if !ok {
		t, ok = texts()[english][key]
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

// languageCookie keeps what somebody chose.
const languageCookie = "authferry-language"

// languageOf is what a browser asks for: what was chosen here, or the best of
// its own languages that there are texts in.
func languageOf(r *http.Request) string {
	if c, err := r.Cookie(languageCookie); err == nil && isLanguage(c.Value) {
		return c.Value
	}
	best, weight := english, 0.0
	for _, item := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		name, parameter, _ := strings.Cut(item, ";")
		name, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(name)), "-")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			q, _ = strconv.ParseFloat(value, 64) // 0, not at all, if it is none
		}
		if isLanguage(name) && q > weight {
			best, weight = name, q
		}
	}
	return best
}

func isLanguage(code string) bool {
	return slices.ContainsFunc(languages, func(l struct{ Code, Name string }) bool { return l.Code == code })
}

// chooseLanguage keeps the language that was chosen.
func (v *visit) chooseLanguage() error {
	code := v.r.FormValue("language")
	if !isLanguage(code) {
		return v.refuse(http.StatusBadRequest, "error.form")
	}
	http.SetCookie(v.w, &http.Cookie{
		Name: languageCookie, Value: code, Path: "/", MaxAge: 365 * 24 * 3600,
		HttpOnly: true, Secure: v.secure(), SameSite: http.SameSiteLaxMode,
	})
	return v.redirect(v.next())
}
