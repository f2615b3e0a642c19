"""Grammars of the LLM-Uncertainty-Bench twin's five tasks. Each family's templates rise from easy to hard."""

from routing_assets.datasets.simulated.grammar import Grammar

QUESTION_ANSWERING = Grammar(
    families={
        "arithmetic": (
            "{name} has {digit} {item} and finds {digit2} more. How many {item} does {name} have now?",
            "A {job} packs {number} crates with {digit} {item} in each. How many {item} are packed altogether?",
            (
                "After a discount of {percent} percent, {number} {item} cost {large} euros in {place}. What did "
                "one cost before?"
            ),
            (
                "Compute the remainder when {number} raised to the power {large} is divided by {number2}, and "
                "prove it with Fermat's theorem."
            ),
        ),
        "strings": (
            'What is the first letter of the word "{word}" in the note that {name} left in {place}?',
            'Write the word "{word}" backwards, as {name} did, and then put "{word2}" behind it.',
            'Count the vowels in "{words}" and subtract the number of words that contain the letter {letter}.',
            (
                'Give a regular expression that matches "{word}" only when it is not nested in balanced brackets, '
                'and find its Levenshtein distance to "{word2} {word3}".'
            ),
        ),
        "lists": (
            "Which number is the largest in this list: {list}?",
            "Sort the list {list} from small to large and name the median.",
            (
                "Remove every number of {list} that is divisible by {digit}, then rotate what remains {digit2} "
                "places to the left."
            ),
            (
                "How many inversions has the permutation that sorts {list}, and what is the longest increasing "
                "subsequence of it?"
            ),
        ),
        "dates": (
            "Today is {day}, {date} {month}. {name} asks which day of the week is tomorrow in {place}.",
            "{name} was born in {year} on {date} {month}. Which century was that?",
            (
                "A shop in {place} opens every {digit}th day, starting on {date} {month} {year}. Which day of the "
                "week is its {number}th opening?"
            ),
            (
                "Convert {date} {month} {year} of the Julian calendar into the Gregorian and the Hebrew calendar, "
                "minding leap years and intercalary months."
            ),
        ),
    },
    additions=(
        "Leave out the {number} {item} that are {colour}.",
        "Unless {name2} objects, repeat this for each {animal} of the {job2}.",
        "Give the answer in base {digit3} and explain every step.",
        "Assume that {percent2} percent of what you are told in {place2} is wrong.",
    ),
    question="Choose the right answer.",
)

READING_COMPREHENSION = Grammar(
    families={
        "stories": (
            (
                "{name} has a small {animal}. The {animal} is {colour} and it sleeps on the bed. What colour is "
                "the {animal}?"
            ),
            (
                "{name} went to the market in {place} for {item} and met {name2}, an old friend from school. Whom "
                "did {name} meet?"
            ),
            (
                "{name} smiled at the {colour} letter, folded it twice and told {name2} that nothing had changed. "
                "What does {name} want {name2} to believe?"
            ),
            (
                "The unreliable narrator, a {job} from {place}, contradicts in irony what {name} confessed in "
                "{year}. Which motive does the author imply but never state?"
            ),
        ),
        "travel": (
            "The bus from {place} to {place2} leaves at {digit} o'clock. When does the bus leave?",
            (
                "{name} takes a train from {place} to {place2} on {day} and returns after {digit} days. On which "
                "day does {name} return?"
            ),
            (
                "In {place}, {name} missed a ferry by {number} minutes because the clock in {place2} shows summer "
                "time. Why was {name} late?"
            ),
            (
                "The colonial travelogue of {year} describes {place} through allusions to {place2}. Which "
                "assumption about empire underlies its metaphors?"
            ),
        ),
        "work": (
            "{name} is a {job} in {place} and likes the {colour} house there. What is the job of {name}?",
            (
                "The {job} asked {name} to bring {number} {item} before {day}, but {name} forgot. What should "
                "{name} have brought?"
            ),
            (
                "{name} thanked the {job} for the frank advice and never called again in {number} weeks. How did "
                "{name} feel about it?"
            ),
            (
                "Under clause {number} of the indemnity contract signed in {place}, the {job} waives subrogation "
                "unless negligence is alleged. Who bears the liability?"
            ),
        ),
        "nature": (
            "It rains in {place} on {day}, so {name} takes a {colour} umbrella. What is the weather like?",
            "The {animal} eats {item} in summer and sleeps in {month}. When does the {animal} sleep in {place}?",
            (
                "Since the {animal} left the fields of {place} in {year}, the number of insects has risen by "
                "{percent} percent. What explains the rise?"
            ),
            (
                "The stoichiometry of nitrogen fixation near {place} shifted {percent} percent as methanotrophs "
                "displaced diazotrophs in {year}. Which confounder is ignored?"
            ),
        ),
    },
    additions=(
        "Meanwhile {name3} counted {number3} {item2} in {place3}, which nobody noticed.",
        "A {job2} from {place4} had warned them in {month2}, or so {name4} recalls.",
        "Everyone except {name5} doubted it, although the {colour2} sign said otherwise.",
        "It was the {number4}th time since {year2} that this had happened.",
    ),
    question="Answer from the text.",
)

COMMONSENSE_INFERENCE = Grammar(
    families={
        "kitchen": (
            "{name} pours milk into a {colour} glass for the {animal}. What happens next?",
            "{name} cracks {digit} eggs, heats the pan and looks for {item}. What does {name} do next?",
            (
                "{name} proofs the sourdough for {number} minutes in {place}, then notices that the oven is cold. "
                "What follows?"
            ),
            (
                "{name} tempers couverture to {number} degrees, seeds it and tests the viscosity of the ganache "
                "in {place}. What comes next?"
            ),
        ),
        "sport": (
            "{name} throws the {colour} ball to {name2} in {place}. What happens next?",
            "{name} runs the last lap in {place} while {name2} falls behind by {digit} metres. What happens then?",
            "The {job} spots {name} at {number} kilos, chalks the hands and adjusts the belt. What comes next?",
            (
                "In the epee bout {name} feints in sixte, {name2} parries and binds after {number} seconds in "
                "{place}. What is the riposte?"
            ),
        ),
        "repair": (
            "{name} turns the key and opens the {colour} door in {place}. What happens next?",
            "{name} lifts the bicycle of the {job}, takes off the wheel and finds a nail among the {item}. What next?",
            (
                "{name} solders {number} joints on the board for a {job} in {place} and smells burnt flux. What "
                "is done next?"
            ),
            (
                "{name} torques the cylinder head in sequence to {number} newton metres, then shims the tappets "
                "of the {colour} engine in {place}. What follows?"
            ),
        ),
        "social": (
            "{name} gives {name2} a {colour} present on {day}. What does {name2} say?",
            (
                "{name} forgets the birthday of {name2} in {month} and sees {number} {item} on the table. What "
                "does {name} do?"
            ),
            (
                "{name} praises the soup of {name2} a little too loudly before the {job} in {place}. How does "
                "{name2} react?"
            ),
            (
                "At the summit in {place} the {job} omits the honorific of {name}, whose delegation of {number} "
                "retaliates by protocol. What ensues?"
            ),
        ),
    },
    additions=(
        "The {job2} beside them is holding {number2} {item2}.",
        "Outside, a {animal2} crosses the street in {place2}, which distracts {name3}.",
        "It is {day2}, and in {month2} that is never done before noon.",
        "Contrary to custom, {name4} had already started with the {colour2} one.",
    ),
    question="Pick the most plausible ending.",
)

DIALOGUE_RESPONSE = Grammar(
    families={
        "films": (
            "A: Do you like films, {name}? B: Yes, I like films about a {colour} {animal} from {place}. Reply to B.",
            (
                "A: {name} liked the film about the {job} from {place}. B: Is there another one like it from "
                "{year}? Reply to B."
            ),
            (
                "A: The sequel of {year} was shot in {place}. B: Was it not the same director as the {colour} "
                "trilogy, {name}? Reply to B."
            ),
            (
                "A: The montage of {year} cites Soviet formalism in {place}. B: {name} disputes the attribution "
                "of its diegetic score. Reply to B."
            ),
        ),
        "books": (
            "A: {name} reads a {colour} book about {item}. B: My {animal} likes it too. Reply to B.",
            "A: Who wrote the novel about the {job} of {place}? B: I think it was {name} {name2}. Reply to B.",
            (
                "A: {name} ranks the {year} edition above the translation from {place}. B: For which {digit} "
                "reasons? Reply to B."
            ),
            (
                "A: The palimpsest of {place} conflates two recensions of {year}. B: Does {name} then emend the "
                "stemma? Reply to B."
            ),
        ),
        "music": (
            "A: What music do you like, {name}? B: I like the {colour} song of the {animal}. Reply to B.",
            (
                "A: The band of {name} plays in {place} on {day}. B: How many of the {number} tickets are left? "
                "Reply to B."
            ),
            "A: {name} transposed the song of {year} for the {job}. B: From which key, and why in {place}? Reply to B.",
            (
                "A: The fugue of {year} inverts its countersubject at bar {number}. B: {name} hears stretto in "
                "{place}. Reply to B."
            ),
        ),
        "support": (
            "A: Hello, my name is {name} from {place}. B: Hello {name}, can I sell you {item} on {day}? Reply to B.",
            "A: My parcel of {number} {item} to {place} is late. B: When did you order it, {name}? Reply to B.",
            (
                "A: I, {name}, was charged {large} twice in {month} and the {job} hung up. B: Have you tried the "
                "app? Reply to B."
            ),
            (
                "A: Our reverse proxy in {place} drops mutual TLS after {number} renegotiations, says {name}. B: "
                "Is SNI forwarded? Reply to B."
            ),
        ),
    },
    additions=(
        "A earlier: {name3} told me something else about {place2} in {year2}.",
        "B earlier: I was there with {digit2} friends and a {job2}.",
        "A earlier: no, you mix that up with the {colour2} one of {month2}.",
        "B earlier: then we agree on {number2} {item2}, unless {name4} minds.",
    ),
    question="Do not make anything up.",
)

DOCUMENT_SUMMARISATION = Grammar(
    families={
        "weather": (
            "It will be sunny in {place} on {day}, {date} {month}, with {digit} degrees.",
            "Rain will reach {place} on {day} night, and {number} millimetres may fall before {day2}.",
            "The storm of {date} {month} closed {number} roads around {place} and left {large} homes without power.",
            (
                "The ensemble forecast for {place} assigns {percent} percent to a sudden stratospheric warming "
                "after {date} {month}."
            ),
        ),
        "sport": (
            "{place} won the game against {place2} by {digit} goals on {day}.",
            "{name} scored twice in {place} on {day} before {number} fans, and {name2} was sent off.",
            "After {number} matches the club of {place} dismissed its coach {name}, whose contract ran to {month}.",
            (
                "The arbitration court annulled the transfer of {name} from {place} to {place2}, citing "
                "solidarity payments of {large} euros."
            ),
        ),
        "business": (
            "The shop of {name} in {place} sells {item}.",
            "A {job} from {place} opened {digit} shops for {item} in {month} and hired {number} people.",
            "Sales of {item} in {place} fell by {percent} percent in {month}, the {job} union said, blaming imports.",
            (
                "The issuer in {place} restructured {large} million of convertible mezzanine debt at {percent} "
                "basis points over par in {month}."
            ),
        ),
        "science": (
            "Children in {place} saw a {colour} {animal} at school on {day}.",
            "Researchers in {place} counted {large} birds in {month}, {number} more than a year before.",
            "A trial with {large} patients in {place} found that {number} of them slept better after {digit} weeks.",
            (
                "A randomised crossover trial in {place} (n={large}) reports a hazard ratio of 0.{number} after "
                "propensity adjustment."
            ),
        ),
    },
    additions=(
        "Officials in {place3} expect {number2} more by {day3}, {name3} said.",
        "Critics such as {name4} call the figure of {large2} misleading.",
        "In {year2} a similar case in {place4} took {digit2} months to settle.",
        "The {job2} denied that the {colour2} report had been withheld.",
    ),
    question="Summarise this without adding facts.",
)

BENCHMARK_GRAMMARS = {
    "QA": QUESTION_ANSWERING,
    "RC": READING_COMPREHENSION,
    "CI": COMMONSENSE_INFERENCE,
    "DRS": DIALOGUE_RESPONSE,
    "DS": DOCUMENT_SUMMARISATION,
}
