package mailsettings

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
)

// The texts of the cards are data: texts/settings.LANGUAGE.toml. A text's key is
// the name of its table after "card.", a dot and its name there. {name} in a text
// stands for a value.
//
//go:embed texts/settings.*.toml
var textFiles embed.FS

// fallback is the language for readers of a language without texts.
const fallback = "en"

// Languages are the languages of the cards.
var Languages = []string{"en", "de", "pl", "ro"}

// texts holds all texts by language and key.
var texts = sync.OnceValue(func() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, language := range Languages {
		texts, err := readTexts(textFiles, language)
		if err != nil {
			panic(err) // the files are built in, and tests read them
		}
		all[language] = texts
	}
	return all
})

func readTexts(files fs.FS, language string) (map[string]string, error) {
	path := "texts/settings." + language + ".toml"
	content, err := fs.ReadFile(files, path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Card map[string]map[string]string `toml:"card"`
	}
	if err := toml.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	texts := map[string]string{}
	for table, keys := range file.Card {
		for key, text := range keys {
			texts[table+"."+key] = text
		}
	}
	return texts, nil
}

// say returns a text; pairs are names and values for its placeholders. A missing
// text is its key; tests check that none is missing.
func say(language, key string, pairs ...string) string {
	text, ok := texts()[language][key]
	if !ok {
		text, ok = texts()[fallback][key]
	}
	if !ok {
		return key
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, "{"+pairs[i]+"}", pairs[i+1])
	}
	return text
}
