//! As much of the shell's grammar as the book uses: words, quotes, comments, lines that go on, what stands between two
//! commands, and texts in place (`<<`).

/// The words of each command, in order. What is within quotes stays one word; redirections are left out.
pub(super) fn commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut lines = text.lines();
    let mut whole = String::new();
    while let Some(line) = lines.next() {
        if let Some(goes_on) = line.strip_suffix('\\') {
            whole.push_str(goes_on);
            continue;
        }
        whole.push_str(line);
        if let Some((_, end)) = whole.split_once("<<") {
            let end = end.split_whitespace().next().unwrap_or_default().trim_matches('\'').to_owned();
            // `find` takes the lines, the last one too.
            let _ = lines.find(|line| *line == end);
        }
        commands.extend(of_line(&whole));
        whole.clear();
    }
    commands.extend(of_line(&whole));
    commands
}

fn of_line(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => {}
            '#' => break,
            '|' | '&' | ';' | '(' | ')' => commands.push(Vec::new()),
            '<' | '>' => {
                // Where to: no word of the command's.
                while letters.next_if(|next| " <>".contains(*next)).is_some() {}
                word(None, &mut letters);
            }
            '$' if letters.next_if_eq(&'(').is_some() => commands.push(Vec::new()),
            first => {
                let word = word(Some(first), &mut letters);
                if let Some(command) = commands.last_mut() {
                    command.push(word);
                }
            }
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// The word that begins with `first`, without its quotes.
fn word(first: Option<char>, letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut word = String::new();
    let mut quote = None;
    let mut next = first.or_else(|| letters.next());
    while let Some(letter) = next {
        match quote {
            Some(open) if letter == open => quote = None,
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            _ => word.push(letter),
        }
        next = letters.next_if(|letter| quote.is_some() || !" \t|&;()<>".contains(*letter));
    }
    word
}

#[test]
fn words_are_those_that_a_shell_sees() {
    let text = "A=1 init hooks 'a b' --x=\"c  d\"   # why\ncat > f <<'END'\ninit nonsense\nEND\n\
                processor \\\n  show ID | jq -r . && x=$(init status) > file\n";
    let found: Vec<String> = commands(text).iter().map(|words| words.join("_")).collect();
    assert_eq!(
        found,
        ["A=1_init_hooks_a b_--x=c  d", "cat", "processor_show_ID", "jq_-r_.", "x=$", "init_status"]
    );
}
